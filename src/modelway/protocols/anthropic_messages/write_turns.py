"""Turns -> `system` and `messages`: user and assistant alternate, results stand before other content,
and instructions in mid-conversation keep their place as well as this model allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from msgspec import structs

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Text, Turn
from modelway.protocols.anthropic_messages.wire import NAME, REMINDER
from modelway.protocols.anthropic_messages.write_blocks import Fields, Writing, unwrapped, write_parts

CONTINUE = "Continue."
BEGIN = "The conversation begins with the assistant."


def write_turns(turns: Sequence[Turn], writing: Writing) -> tuple[list[Fields], list[Fields]]:
    """The system blocks and the messages; raises `CallError` (400) if the user ends on nothing."""
    leading = list(takewhile(_instructs, turns))
    system = [block for turn in leading for block in _written(turn, writing)]
    alternation = _Alternation(writing)
    for turn in turns[len(leading) :]:
        alternation.add(turn)
    messages = alternation.done()
    return system, [{**message, "content": unwrapped(message["content"])} for message in messages]


def _instructs(turn: Turn) -> bool:
    return turn.role in ("system", "developer")


def _written(turn: Turn, writing: Writing) -> list[Fields]:
    writing.path = turn.path or "messages"
    role = "system" if _instructs(turn) else turn.role
    return write_parts(_named(turn, writing), writing, role)


def _named(turn: Turn, writing: Writing) -> tuple[Part, ...]:
    """A participant's name goes before the first text: there is no field for it."""
    if not turn.name or not any(isinstance(part, Text) for part in turn.parts):
        return turn.parts
    writing.lose("turn.name", f"The name {turn.name!r} goes before the text")
    first = next(index for index, part in enumerate(turn.parts) if isinstance(part, Text))
    text = turn.parts[first]
    assert isinstance(text, Text)
    named = structs.replace(text, text=f"{turn.name}: {text.text}")
    return (*turn.parts[:first], named, *turn.parts[first + 1 :])


class _Alternation:
    """The messages so far. `late` are instructions that wait for the next user turn to be whole."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing
        self.messages: list[Fields] = []
        self.late: list[tuple[Turn, list[Fields]]] = []
        self.unsaid: Turn | None = None  # the last turn, if it is the user's and says nothing
        self.mid_system = writing.translation.capabilities.mid_system

    def add(self, turn: Turn) -> None:
        blocks = _written(turn, self.writing)
        self.unsaid = turn if turn.role == "user" and not blocks else None
        if _instructs(turn):
            self._instruct(turn, blocks)
        elif turn.role == "assistant":
            self._append("assistant", blocks, turn)
        else:
            self._user(turn, blocks)

    def done(self) -> list[Fields]:
        """The messages, with what the rules ask at both ends."""
        if self.unsaid is not None and (not self.messages or self.messages[-1]["role"] == "assistant"):
            raise CallError.invalid(
                "The last user message is empty; it must say something", param=self.unsaid.path or "messages"
            )
        if self.late:
            reminders = [block for _, blocks in self.late for block in _wrapped(blocks)]
            self._moved(self.late[0][0], "no user message follows it, so one is made of it")
            self._append("user", reminders, None)
        if not self.messages or self.messages[0]["role"] != "user":
            opening = BEGIN if self.messages else CONTINUE
            self.messages.insert(0, {"role": "user", "content": [{"type": "text", "text": opening}]})
        if self.messages[-1]["role"] == "assistant":
            self._end_with_user()
        return self.messages

    def _end_with_user(self) -> None:
        """Only Messages clients mean a final assistant message to be continued, and an answer that paused."""
        if self.writing.translation.client == NAME or self.writing.translation.resumes:
            last = self.messages[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()
            return
        self.writing.path = "messages"
        self.writing.lose("turn.prefill")
        self._append("user", [{"type": "text", "text": CONTINUE}], None)

    def _append(self, role: str, blocks: list[Fields], turn: Turn | None) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
            return
        own: dict[str, Any] = turn.ext.get(NAME, {}) if turn is not None else {}
        self.messages.append({"role": role, "content": blocks, **own})

    def _user(self, turn: Turn, blocks: list[Fields]) -> None:
        results = [block for block in blocks if block["type"] == "tool_result"]
        others = [block for block in blocks if block["type"] != "tool_result"]
        if results:
            self._results(results, turn)
        if self.late and not self.writing.waiting and not self.mid_system:
            for late, instructions in self.late:
                self._moved(late, "it is wrapped into the user's message")
                others = _wrapped(instructions) + others
            self.late.clear()
        self._append("user", others, turn)
        if self.late and not self.writing.waiting and self.messages:
            for late, instructions in self.late:
                self._moved(late, "it goes behind the user's message")
                self._append("system", instructions, late)
            self.late.clear()

    def _results(self, results: list[Fields], turn: Turn) -> None:
        """Results join those that came before, ahead of any other content of the same message."""
        last = self.messages[-1] if self.messages else None
        if last is None or last["role"] != "user":
            self._append("user", results, turn)
            return
        content = last["content"]
        place = next((i for i, block in enumerate(content) if block["type"] != "tool_result"), len(content))
        content[place:place] = results

    def _instruct(self, turn: Turn, blocks: list[Fields]) -> None:
        """Instructions right behind a whole user turn stand there; others wait for one."""
        if not blocks:
            return
        behind_user = bool(self.messages) and self.messages[-1]["role"] in ("user", "system")
        if not behind_user or self.writing.waiting:
            self.late.append((turn, blocks))
        elif self.mid_system:
            self._append("system", blocks, turn)
        else:
            self._moved(turn, "it is wrapped into the user's message before it")
            self._append("user", _wrapped(blocks), turn)

    def _moved(self, turn: Turn, how: str) -> None:
        self.writing.path = turn.path or "messages"
        self.writing.lose("system.mid", f"A {turn.role} message stands where this model takes none: {how}")


def _wrapped(blocks: list[Fields]) -> list[Fields]:
    return [{**block, "text": REMINDER.format(block["text"])} for block in blocks if block["type"] == "text"]
