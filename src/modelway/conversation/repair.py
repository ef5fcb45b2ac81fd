"""Tool histories that do not fit together, made whole: every call gets one result, every result a call.

Agents that crash, compact or edit their history leave such gaps; every vendor refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs

from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.translation import Translation

NO_RESULT = "[no result]"


def repaired(turns: Sequence[Turn], translation: Translation) -> tuple[Turn, ...]:
    """The turns, untouched if they are sound; else with a warning `repaired` (strict mode: 400)."""
    mending = _Mending()
    for turn in turns:
        mending.add(turn)
    mending.close()
    if not mending.faults:
        return tuple(turns)
    path, what = mending.faults[0]
    translation.warn("repaired", path or "messages", what)
    return tuple(mending.turns)


class _Mending:
    """Copies turns while it follows the calls that still wait. Turns of one role in a row count as one."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.faults: list[tuple[str, str]] = []
        self._waiting: dict[str, None] = {}
        self._answered: set[str] = set()
        self._after_calls = 0  # where a missing result belongs: behind the last assistant turn
        self._role = "user"

    def add(self, turn: Turn) -> None:
        if turn.role == "assistant":
            if self._role == "user":
                self.close()
                self._answered.clear()
            self._waiting.update((part.id, None) for part in turn.parts if isinstance(part, ToolCall))
            self.turns.append(turn)
            self._after_calls = len(self.turns)
        elif turn.role == "user":
            self.turns.append(self._checked(turn))
        else:
            self.turns.append(turn)
            return
        self._role = turn.role

    def close(self) -> None:
        """Give every call that still waits a result that says there is none."""
        if not self._waiting:
            return
        missing = tuple(
            ToolResult(call_id=identity, parts=(Text(text=NO_RESULT),), is_error=True)
            for identity in self._waiting
        )
        self.faults.append(("", f"The tool calls {', '.join(self._waiting)} have no result"))
        self.turns.insert(self._after_calls, Turn(role="user", parts=missing))
        self._waiting.clear()

    def _checked(self, turn: Turn) -> Turn:
        if not any(isinstance(part, ToolResult) for part in turn.parts):
            return turn
        parts = tuple(mended for part in turn.parts for mended in self._part(part, turn.path))
        return turn if parts == turn.parts else structs.replace(turn, parts=parts)

    def _part(self, part: Part, path: str) -> Iterable[Part]:
        if not isinstance(part, ToolResult):
            return (part,)
        if part.call_id in self._waiting:
            del self._waiting[part.call_id]
            self._answered.add(part.call_id)
            return (part,)
        again = "again " if part.call_id in self._answered else ""
        self.faults.append((path, f"A tool result answers {part.call_id!r} {again}without a call for it"))
        return (Text(text=f"[result of tool call {part.call_id}]"), *part.parts)
