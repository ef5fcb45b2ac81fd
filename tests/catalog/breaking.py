"""Bodies that are right, and ways to break exactly one rule of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelway.catalog import limits
from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.cards import Card, Catalog
from modelway.catalog.samples import request_example

CATALOG = Catalog.shipped()
FORMS = [(card, path) for card in CATALOG.all() for path in PATHS]
Body = dict[str, Any]

TOOL: Body = {"type": "function", "name": "f", "input_schema": {"type": "object"}}
SCHEMA_FORMAT: Body = {"type": "json_schema", "name": "n", "json_schema": {"name": "n"}, "schema": {}}


def form_id(form: tuple[Card, Path]) -> str:
    return f"{form[0].id}-{form[1]}"


def right_body(card: Card, path: Path) -> Body:
    """The card's own example, without the parameters a breaker may want to set."""
    body = request_example(card, path)
    for name in ("temperature", "reasoning_effort", "reasoning", "output_config", "max_completion_tokens"):
        body.pop(name, None)
    if path == "chat":
        body.pop("max_tokens", None)
    return body


def _thinking_on(card: Card, path: Path) -> Body:
    if card.capabilities.thinking_types and path != "responses":
        kind = "adaptive" if "adaptive" in card.capabilities.thinking_types else "enabled"
        return {"thinking": {"type": kind, "budget_tokens": 1024}, "max_tokens": 2000}
    return _effort(path, limits.efforts(card, path)[-1])


def _effort(path: Path, effort: str) -> Body:
    fields: dict[Path, Body] = {
        "chat": {"reasoning_effort": effort},
        "responses": {"reasoning": {"effort": effort}},
        "messages": {"output_config": {"effort": effort}},
    }
    return fields[path]


def _missing_effort(card: Card, path: Path) -> Body:
    wanted = [
        effort for effort in ("low", "xhigh", "minimal", "max") if effort not in limits.efforts(card, path)
    ]
    # A model with every effort there is cannot be asked for one it lacks.
    return _effort(path, wanted[0]) if wanted else {}


def _with_turn(path: Path, *turns: Body) -> Body:
    first: Body = {"role": "user", "content": "hi"}
    return {"input" if path == "responses" else "messages": [first, *turns]}


def _misplaced_system(card: Card, path: Path) -> Body:
    system: Body = {"role": "system", "content": "Be brief."}
    if path == "messages":
        return {"messages": [system, {"role": "user", "content": "hi"}]}
    return _with_turn(
        path, {"role": "assistant", "content": "yes"}, system, {"role": "user", "content": "go"}
    )


def _part(card: Card, path: Path) -> Body:
    """A part of a kind the card does not read; Claude reads all but audio."""
    kinds = (("audio", "input_audio"), ("image", "image_url"), ("document", "file"), ("video", "video_url"))
    kind = next((kind for modality, kind in kinds if modality not in card.input), None)
    return _with_turn(path, {"role": "user", "content": [{"type": kind}]}) if kind else {}


def _no_type(card: Card, path: Path) -> Body:
    allowed = limits.thinking_types(card)
    missing = [kind for kind in limits.THINKING_TYPES if kind not in allowed]
    return {"thinking": {"type": missing[0], "budget_tokens": 2000}} if missing else {}


def _too_many(card: Card, path: Path) -> Body:
    field = limits.ANSWER_TOKENS_FIELDS[path][0]
    return {field: (card.max_output_tokens or 0) + 1}


Breaker = Callable[[Card, Path], Body]
"""What to add to a right body to break one rule; empty where this card cannot break it."""

BREAKERS: dict[str, Breaker] = {
    "sampling_refused": lambda card, path: {"temperature": 0.5},
    "sampling_one_of": lambda card, path: {"temperature": 0.5, "top_p": 0.5},
    "sampling_while_thinking": lambda card, path: {"temperature": 0.5, **_thinking_on(card, path)},
    "top_k_unknown": lambda card, path: {"top_k": 5},
    "temperature_clamped": lambda card, path: {"temperature": 1.5},
    "max_tokens_clamped": _too_many,
    "max_tokens_twice": lambda card, path: {"max_tokens": 17, "max_completion_tokens": 18},
    "forced_tools_while_thinking": lambda card, path: {
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "f"},
        **_thinking_on(card, path),
    },
    "thinking_type": _no_type,
    "thinking_budget_below_max_tokens": lambda card, path: {
        "thinking": {"type": "enabled", "budget_tokens": 5000},
        "max_tokens": 5000,
    },
    "effort_without_thinking": lambda card, path: (
        {}
        if path == "responses"
        else _effort(path, "max")
        | {"thinking": {"type": sorted(card.capabilities.thinking_types - {"adaptive"})[0]}}
    ),
    "effort": _missing_effort,
    "forced_tools": lambda card, path: {"tools": [TOOL], "tool_choice": "required"},
    "prompt_or_messages": lambda card, path: {"prompt": "hi"},
    "system_once": lambda card, path: {"system": "a", "system_prompt": "b"},
    "stop_once": lambda card, path: {"stop": ["a"], "stop_sequences": ["b"]},
    "stream_options_with_stream": lambda card, path: {"stream_options": {"include_usage": True}},
    "top_logprobs_with_logprobs": lambda card, path: {"top_logprobs": 3},
    "tool_choice_with_tools": lambda card, path: {"tool_choice": "auto"},
    "parallel_tool_calls_with_tools": lambda card, path: {"parallel_tool_calls": False},
    "one_stored_conversation": lambda card, path: {"previous_response_id": "r", "conversation": "c"},
    "format_once": lambda card, path: {
        "output_format": {"type": "json_schema", "schema": {}},
        "output_config": {
            "format": {"type": "json_schema" if card.capabilities.structured_output else "text"}
        },
    },
    "one_choice": lambda card, path: {"n": 2},
    "hosted_web_search": lambda card, path: {"web_search_options": {}},
    "no_tools": lambda card, path: {"tools": [TOOL]},
    "structured_output": lambda card, path: {
        "chat": {"response_format": SCHEMA_FORMAT},
        "responses": {"text": {"format": SCHEMA_FORMAT}},
        "messages": {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
    }[path],
    "seed_unknown": lambda card, path: {"seed": 1},
    "presence_penalty_unknown": lambda card, path: {"presence_penalty": 1},
    "frequency_penalty_unknown": lambda card, path: {"frequency_penalty": 1},
    "logit_bias_unknown": lambda card, path: {"logit_bias": {"5": 1}},
    "logprobs_unknown": lambda card, path: {"logprobs": True},
    "top_logprobs_unknown": lambda card, path: {"top_logprobs": 2},
    "verbosity_unknown": lambda card, path: {"verbosity": "low"},
    "system_position": _misplaced_system,
    "prefill": lambda card, path: _with_turn(path, {"role": "assistant", "content": "The sky"}),
    "unsupported_content": _part,
}
