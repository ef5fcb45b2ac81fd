"""Conversation -> the body for an upstream that speaks Responses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from modelway.conversation.parts import Part, Text, Turn
from modelway.conversation.request import EFFORTS, Conversation, Effort, OutputSpec, ReasoningSpec
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.content import NAME
from modelway.protocols.openai_responses.losses import ROWS
from modelway.protocols.openai_responses.outgoing_tools import write_choice, write_tools
from modelway.protocols.openai_responses.outgoing_turns import write_turn
from modelway.protocols.openai_responses.tools import strict_qualifies

Wire = dict[str, Any]
OUTPUT_TOKENS_MIN = 16  # OpenAI refuses less
USER_ID_CHARACTERS_MAX = 64
_encoder = msgspec.json.Encoder()

# Fields of the client's own request that go on as they are when it, too, spoke Responses.
_NOT_SENT = frozenset({"echo", "reasoning", "tool_choice", "previous_response_id", "conversation", "user"})


def write_request(conversation: Conversation, translation: Translation) -> bytes:
    """The body; what Responses cannot say goes to the translation, row by row of the loss table."""
    _refuse_what_cannot_be(conversation, translation)
    turns = list(conversation.turns)
    instructions = _take_instructions(turns)
    body: Wire = {"model": conversation.model}
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = [item for turn in turns for item in write_turn(turn, translation)]
    body |= _settings(conversation, translation)
    body |= _answer_form(conversation, translation)
    body |= _who(conversation, translation)
    own = conversation.ext.get(NAME, {})
    body |= {name: value for name, value in own.items() if name not in _NOT_SENT and name not in body}
    body["include"] = _include(conversation, own)
    return _encoder.encode({name: value for name, value in body.items() if value is not None})


def _refuse_what_cannot_be(conversation: Conversation, translation: Translation) -> None:
    sampling, state = conversation.sampling, conversation.state
    if sampling.n != 1:
        translation.lose(ROWS["sampling.n"], "n", f"`n` is {sampling.n}; Responses gives one answer")
    if state.conversation is not None:
        translation.lose(ROWS["state.conversation"], "conversation")
    if state.background:
        translation.lose(ROWS["state.background"], "background")
    if conversation.attribution.inference_geo:
        translation.lose(ROWS["attribution.inference_geo"], "inference_geo")
    last = conversation.turns[-1] if conversation.turns else None
    prefilled = last is not None and last.role == "assistant" and translation.client == "messages"
    if prefilled and last is not None and any(isinstance(part, Text) for part in last.parts):
        translation.lose(
            ROWS["turn.prefill"],
            last.path,
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message.",
        )


def _take_instructions(turns: list[Turn]) -> str | None:
    """What was `instructions` is so again; else the leading run of plain system text becomes it."""
    if turns and turns[0].path == "instructions":
        return "".join(part.text for part in turns.pop(0).parts if isinstance(part, Text))
    run = 0
    while run < len(turns) and turns[run].role in ("system", "developer"):
        run += 1
    leading = turns[:run]
    if not leading or any(not _plain(part) for turn in leading for part in turn.parts):
        return None
    if run == len(turns) or any(turn.ext.get(NAME) or turn.role == "developer" for turn in leading):
        return None
    del turns[:run]
    return "\n\n".join(part.text for turn in leading for part in turn.parts if isinstance(part, Text))


def _plain(part: Part) -> bool:
    return isinstance(part, Text) and part.cache is None


def _settings(conversation: Conversation, translation: Translation) -> Wire:
    parallel = conversation.parallel_tools
    if parallel is False and not translation.capabilities.parallel_tools:
        parallel = None
    settings = {
        "tools": write_tools(conversation.tools, translation) or None,
        "tool_choice": write_choice(conversation, translation),
        "parallel_tool_calls": parallel if conversation.tools else None,
        "max_output_tokens": _output_tokens(conversation, translation),
        "prompt_cache_options": _cache_options(conversation),
        "stream": True if conversation.stream else None,
        # Nothing is left behind at the provider unless the client asked for it.
        "store": conversation.state.store is True and translation.client == "chat",
    }
    if conversation.stop:
        translation.enforced_stops = conversation.stop
    return settings | _sampling(conversation, translation)


def _sampling(conversation: Conversation, translation: Translation) -> Wire:
    sampling, limits = conversation.sampling, translation.capabilities
    kept: Wire = {"top_logprobs": sampling.top_logprobs if sampling.logprobs else None}
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p)):
        if value is not None and limits.sampling == "refused" and value != 1:
            translation.lose(ROWS[f"sampling.{name}"], name)
        elif value is not None and limits.sampling != "refused":
            kept[name] = value
    if sampling.presence_penalty or sampling.frequency_penalty:
        translation.lose(ROWS["sampling.penalties"], "presence_penalty")
    for name in ("top_k", "seed", "logit_bias"):
        if getattr(sampling, name) is not None:
            translation.lose(ROWS[f"sampling.{name}"], name)
    return kept


def _output_tokens(conversation: Conversation, translation: Translation) -> int | None:
    wanted, most = conversation.max_output_tokens, translation.capabilities.max_output_tokens
    if wanted is None or wanted == 0:  # zero asks to warm the prompt cache, see `_cache_options`
        return None
    if wanted < OUTPUT_TOKENS_MIN:
        detail = f"{wanted} output tokens asked; Responses writes at least {OUTPUT_TOKENS_MIN}"
        translation.lose(ROWS["max_output_tokens"], "max_tokens", detail)
        return OUTPUT_TOKENS_MIN
    if most is not None and wanted > most:
        detail = f"{wanted} output tokens asked; this model writes at most {most}"
        translation.lose(ROWS["max_output_tokens"], "max_tokens", detail)
        return most
    return wanted


def _cache_options(conversation: Conversation) -> Wire | None:
    own = conversation.ext.get(NAME, {}).get("prompt_cache_options")
    if isinstance(own, dict):
        return own
    options: Wire = {}
    if conversation.cache is not None:
        options["mode"] = "implicit"
        options |= {"ttl": "12h"} if conversation.cache.ttl in ("1h", "12h") else {}
    if conversation.max_output_tokens == 0:
        options["prewarm"] = True
    return options or None


def _answer_form(conversation: Conversation, translation: Translation) -> Wire:
    reasoning = _reasoning(conversation.reasoning, translation)
    reasoning |= conversation.ext.get(NAME, {}).get("reasoning", {})
    output = conversation.output
    text: Wire = {"format": _format(output, translation)} if output.format != "text" else {}
    text |= {"verbosity": output.verbosity} if output.verbosity else {}
    return {"reasoning": reasoning or None, "text": text or None}


def _format(output: OutputSpec, translation: Translation) -> Wire:
    if output.format == "json":
        return {"type": "json_object"}
    qualifies = strict_qualifies(output.schema)
    strict = qualifies if output.strict is None else output.strict
    if output.strict and not qualifies:
        translation.lose(ROWS["output.schema"], "text.format.strict")
        strict = False
    about = {"description": output.description} if output.description else {}
    name = output.name or "response"
    return {"type": "json_schema", "name": name, "schema": output.schema, "strict": strict, **about}


# A thinking budget in tokens below which each effort is meant.
_BUDGETS: tuple[tuple[int, Effort], ...] = (
    (1536, "minimal"),
    (5000, "low"),
    (12000, "medium"),
    (24000, "high"),
    (48000, "xhigh"),
)


def _reasoning(spec: ReasoningSpec, translation: Translation) -> Wire:
    effort = _effort(spec, translation)
    summary = spec.summary
    if summary is None and spec.mode in ("adaptive", "budget"):
        summary = "auto"  # who switches thinking on expects to see some of it
    wire: Wire = {"effort": effort} if effort else {}
    return wire | ({"summary": summary} if summary and summary != "none" else {})


def _effort(spec: ReasoningSpec, translation: Translation) -> Effort | None:
    wanted = spec.effort
    if spec.mode in ("off", "between_tools"):
        wanted = "none"
    elif spec.mode == "budget" and spec.budget_tokens is not None and wanted is None:
        budget = spec.budget_tokens
        wanted = next((effort for below, effort in _BUDGETS if budget < below), "max")
        detail = f"A budget of {budget} tokens becomes the effort {wanted}"
        translation.lose(ROWS["reasoning.budget"], "thinking.budget_tokens", detail)
    if wanted is None or wanted in translation.capabilities.efforts:
        return wanted
    if not translation.capabilities.efforts:
        translation.lose(ROWS["reasoning.effort"], "reasoning.effort", "This model takes no effort; dropped")
        return None
    nearest = _nearest(wanted, translation.capabilities.efforts)
    detail = f"This model has not the effort {wanted}; {nearest} is sent"
    translation.lose(ROWS["reasoning.effort"], "reasoning.effort", detail)
    return nearest


def _nearest(wanted: Effort, offered: Sequence[Effort]) -> Effort:
    """The next lower effort that the model has, or its lowest."""
    ranked = sorted(offered, key=EFFORTS.index)
    lower = [effort for effort in ranked if EFFORTS.index(effort) <= EFFORTS.index(wanted)]
    return lower[-1] if lower else ranked[0]


_TIERS = {"standard_only": "default"}


def _who(conversation: Conversation, translation: Translation) -> Wire:
    who = conversation.attribution
    if who.speed:
        translation.lose(ROWS["attribution.speed"], "speed")
    user = who.user_id
    if user is not None and len(user) > USER_ID_CHARACTERS_MAX:
        user = hashlib.sha256(user.encode()).hexdigest()
    tier = who.service_tier
    return {
        "safety_identifier": user,
        "metadata": who.metadata or None,
        "service_tier": _TIERS.get(tier, tier) if tier else None,
        "prompt_cache_key": who.cache_key,
        "prompt_cache_retention": who.cache_retention,
    }


def _include(conversation: Conversation, own: Wire) -> list[str]:
    """Reasoning comes back sealed, so that the next turn can bring it along."""
    wanted = [str(each) for each in own.get("include") or ()]
    wanted += ["reasoning.encrypted_content"]
    wanted += ["message.output_text.logprobs"] if conversation.sampling.logprobs else []
    return list(dict.fromkeys(wanted))
