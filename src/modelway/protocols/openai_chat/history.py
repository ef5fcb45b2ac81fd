"""Tool calls and their results must come in pairs; a history that lost one half is made whole again.

Agents that were interrupted send such histories forever after, and every vendor refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import structs

from modelway.conversation.errors import CallError
from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.translation import Translation

NO_RESULT = "[no result]"


def mended(turns: Sequence[Turn], translation: Translation) -> tuple[Turn, ...]:
    """`turns` with a result for every call and a call for every result; untouched if they have them.

    Strict mode refuses what it would have to repair, naming the ids.
    """
    return tuple(_Mending(translation).walk(turns))


class _Mending:
    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._open: dict[str, ToolCall] = {}  # calls of the latest assistant turn still without a result

    def walk(self, turns: Sequence[Turn]) -> Iterator[Turn]:
        for turn in turns:
            if turn.role in ("system", "developer"):  # writers place these; they answer no call
                yield turn
                continue
            if turn.role == "assistant":
                yield from self._unanswered(turn.path)
                self._open = {part.id: part for part in turn.parts if isinstance(part, ToolCall)}
                yield turn
                continue
            results = [part for part in turn.parts if isinstance(part, ToolResult)]
            if self._open and len(results) < len(turn.parts):
                yield from self._mixed(turn, results)
            else:
                yield self._checked(turn) if results else turn
        yield from self._unanswered("messages")

    def _mixed(self, turn: Turn, results: list[ToolResult]) -> Iterator[Turn]:
        """Text in a user turn ends the time for results, so missing ones come before it."""
        answered = {result.call_id for result in results}
        missing = [call for call in self._open.values() if call.id not in answered]
        checked = self._checked(turn) if results else turn
        for call in missing:
            self._open.pop(call.id, None)
        if missing:
            yield self._synthetic(missing, turn.path)
        yield checked

    def _checked(self, turn: Turn) -> Turn:
        parts = tuple(self._paired(part, turn.path) for part in turn.parts)
        return turn if parts == turn.parts else structs.replace(turn, parts=parts)

    def _paired(self, part: Part, path: str) -> Part:
        if not isinstance(part, ToolResult):
            return part
        if self._open.pop(part.call_id, None) is not None:
            return part
        self._repair(f"{path}.tool_call_id", f"The tool result for {part.call_id!r} answers no open call")
        said = "".join(inner.text for inner in part.parts if isinstance(inner, Text))
        return Text(text=f"[result of tool call {part.call_id}] {said}".rstrip())

    def _unanswered(self, path: str) -> Iterator[Turn]:
        if self._open:
            calls = list(self._open.values())
            self._open = {}
            yield self._synthetic(calls, path)

    def _synthetic(self, calls: list[ToolCall], path: str) -> Turn:
        ids = ", ".join(call.id for call in calls)
        self._repair(f"{path}.role", f"No tool result follows the tool calls with these ids: {ids}")
        results = tuple(
            ToolResult(call_id=call.id, parts=(Text(text=NO_RESULT),), is_error=True, freeform=call.freeform)
            for call in calls
        )
        return Turn(role="user", parts=results, path=path)

    def _repair(self, param: str, detail: str) -> None:
        if self._translation.strict:
            raise CallError.invalid(f"{detail} (x-modelway-strict is on)", param=param, code="invalid_value")
        self._translation.warn("repaired", param, detail)
