"""Which call a fragment belongs to: by id, by index, else by what the call before it already has."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from modelway.conversation.parts import ToolCall
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.message_reader import argument_text
from modelway.protocols.openai_chat.tool_writer import restored

Json = dict[str, Any]


class Slot:
    """One call while its fragments come in. Given out once its name is whole: when arguments begin."""

    def __init__(self, call_id: str, freeform: bool, translation: Translation) -> None:
        self.id = call_id
        self.name = ""
        self.freeform = freeform
        self.closed = False
        self.ext: Json = {}
        self._translation = translation
        self._pieces: list[str] = []
        self._given = 0
        self._unwrap = False
        self._brackets_closed = False

    def add_name(self, name: str) -> None:
        """Some servers send a name in pieces, some send the whole of it with every fragment."""
        if not self._pieces and name != self.name:
            self.name += name

    def add_arguments(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._brackets_closed = text.rstrip().endswith("}")

    def is_named(self) -> bool:
        return bool(self._pieces) or self.closed

    def is_done(self) -> bool:
        """Whether the arguments are a whole JSON object: only then may another part follow for sure."""
        if self.closed:
            return True
        if self.freeform or not self._brackets_closed:
            return False
        return is_json_object("".join(self._pieces))

    def started(self) -> ToolCall:
        """The call as its part begins: the client's name for it, no arguments yet."""
        call = ToolCall(id=self.id, name=self.name, freeform=self.freeform)
        call = restored(call, self._translation)
        self._unwrap = call.freeform and not self.freeform
        return structs.replace(call, ext={"chat": self.ext}) if self.ext else call

    def given(self) -> str:
        """What has come since the last time; nothing before the end for a wrapped free text."""
        if self._unwrap:
            return ""
        text = "".join(self._pieces[self._given :])
        self._given = len(self._pieces)
        return text

    def remaining(self) -> str:
        return _unwrapped("".join(self._pieces)) if self._unwrap else self.given()


def is_json_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text, type=dict[str, msgspec.Raw]), dict)
    except (msgspec.MsgspecError, RecursionError):
        return False


def _unwrapped(arguments: str) -> str:
    """The text a model wrote into the `input` of a function that stands for a free-text tool."""
    try:
        decoded = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, RecursionError):
        return arguments
    said = decoded.get("input") if isinstance(decoded, dict) else None
    return said if isinstance(said, str) else arguments


class Calls:
    """All calls of one answer."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._by_id: dict[str, Slot] = {}
        self._by_index: dict[int, Slot] = {}
        self._all: list[Slot] = []

    @property
    def any_started(self) -> bool:
        return bool(self._all)

    def close(self) -> None:
        """No more fragments will come."""
        for slot in self._all:
            slot.closed = True

    def take(self, delta: Json) -> list[Slot]:
        """Put the delta's fragments where they belong; the calls that are new, in order."""
        fresh: list[Slot] = []
        entries = delta.get("tool_calls")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                self._take_entry(entry, fresh)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            self._take_entry({"index": 0, "function": legacy}, fresh)
        return fresh

    def _take_entry(self, entry: Json, fresh: list[Slot]) -> None:
        custom = entry.get("custom")
        function = custom if isinstance(custom, dict) else entry.get("function")
        function = function if isinstance(function, dict) else {}
        call_id = entry.get("id") if isinstance(entry.get("id"), str) else ""
        index = entry.get("index")
        number = index if isinstance(index, int) and index >= 0 else None
        given = function.get("name")
        name = given if isinstance(given, str) else ""
        slot = self._find(call_id or "", number, name)
        if slot is None:
            if not call_id and not name and not function.get("arguments"):
                return
            slot = self._new(call_id or "", number, isinstance(custom, dict))
            fresh.append(slot)
        if name:
            slot.add_name(name)
        slot.add_arguments(argument_text(function.get("input" if slot.freeform else "arguments")))
        if "extra_content" in entry:
            slot.ext["extra_content"] = entry["extra_content"]

    def _find(self, call_id: str, index: int | None, name: str) -> Slot | None:
        if call_id and call_id in self._by_id:
            known = self._by_id[call_id]
            # The same id on a finished call with another name is a careless server's second call.
            return None if name and name != known.name and known.is_done() else known
        slot = self._by_index.get(index) if index is not None else (self._all[-1] if self._all else None)
        if slot is None:
            return None
        if not name:  # a fragment: a new id on it is only noise
            return slot
        starts_anew = slot.is_done() or (bool(call_id) and slot.name != "")
        if index is None and slot.name and name != slot.name:
            starts_anew = True
        return None if starts_anew else slot

    def _new(self, call_id: str, index: int | None, freeform: bool) -> Slot:
        if not call_id or call_id in self._by_id:
            call_id_sent, call_id = call_id, self._translation.mint("call_")
        else:
            call_id_sent = call_id
        slot = Slot(call_id, freeform, self._translation)
        self._by_id[call_id_sent or call_id] = slot
        if index is not None:
            self._by_index[index] = slot
        self._all.append(slot)
        return slot
