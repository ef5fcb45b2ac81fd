"""Every tool call has one result, right behind its turn. Histories of interrupted agents are repaired.

Responses lets other items stand between a call and its output; the other protocols do not.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from modelway.conversation.parts import Part, Text, ToolCall, ToolResult, Turn
from modelway.conversation.translation import Translation

NO_RESULT = "[no result]"


def paired(turns: Sequence[Turn], translation: Translation) -> tuple[Turn, ...]:
    """`turns` as they are if every call is answered in the next turn; else outputs are moved there.

    A call without output gets one that says so, an output without call becomes text: both with a
    warning, in strict mode a 400 that names the id.
    """
    if _clean(turns):
        return tuple(turns)
    results = _first_results(turns)
    calls = {part.id for turn in turns for part in turn.parts if isinstance(part, ToolCall)}
    mended: list[Turn] = []
    for turn in turns:
        rest = _without_results(turn, results, calls, translation)
        if rest is not None:
            mended.append(rest)
        answers = _answers(turn, results, translation)
        if answers:
            mended.append(Turn(role="user", parts=answers, path=turn.path))
    return tuple(mended)


def _clean(turns: Sequence[Turn]) -> bool:
    waiting: list[str] = []
    for turn in turns:
        answered = [part.call_id for part in turn.parts if isinstance(part, ToolResult)]
        if sorted(answered) != sorted(waiting) or len(set(answered)) != len(answered):
            return False
        waiting = [part.id for part in turn.parts if isinstance(part, ToolCall)]
    return not waiting


def _first_results(turns: Sequence[Turn]) -> dict[str, ToolResult]:
    found: dict[str, ToolResult] = {}
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                found.setdefault(part.call_id, part)
    return found


def _without_results(
    turn: Turn, results: dict[str, ToolResult], calls: set[str], translation: Translation
) -> Turn | None:
    """The turn without the results that stand behind their calls; those without a call become text."""
    kept: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, ToolResult):
            kept.append(part)
        elif part.call_id not in calls or results[part.call_id] is not part:
            translation.warn("repaired", turn.path, f"The output for {part.call_id} has no call of its own")
            kept.append(Text(text=f"[output of tool call {part.call_id}]"))
            kept.extend(part.parts)
    return structs.replace(turn, parts=tuple(kept)) if kept else None


def _answers(turn: Turn, results: dict[str, ToolResult], translation: Translation) -> tuple[Part, ...]:
    answers: list[Part] = []
    for part in turn.parts:
        if not isinstance(part, ToolCall):
            continue
        result = results.get(part.id)
        if result is None:
            translation.warn("repaired", turn.path, f"The tool call {part.id} has no output")
            result = ToolResult(
                call_id=part.id, parts=(Text(text=NO_RESULT),), is_error=True, freeform=part.freeform
            )
        answers.append(result)
    return tuple(answers)
