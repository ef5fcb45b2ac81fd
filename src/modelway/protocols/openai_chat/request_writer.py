"""A conversation to a Chat body, as one model behind one provider takes it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.request import EFFORTS, Conversation, Effort, ReasoningSpec
from modelway.conversation.translation import Translation
from modelway.protocols.openai_chat.losses import lose
from modelway.protocols.openai_chat.message_writer import write_messages
from modelway.protocols.openai_chat.tool_writer import qualifies_as_strict, write_tools

Json = dict[str, Any]

USER_ID_CHARS_MAX = 64
# A budget below the number means that effort: the inverse of what the efforts cost elsewhere.
_BUDGETS: tuple[tuple[int, Effort], ...] = (
    (1536, "minimal"),
    (5000, "low"),
    (12000, "medium"),
    (24000, "high"),
    (48000, "xhigh"),
)
# Anthropic's and newer OpenAI tiers in the words every Chat endpoint of OpenAI's knows.
_TIERS = {"standard_only": "default", "standard": "default"}
_CHAT_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


def write_request(conversation: Conversation, translation: Translation) -> bytes:
    """The body for an upstream of this protocol; what it cannot carry goes to the translation."""
    _check_state(conversation, translation)
    _check_prefill(conversation, translation)
    body: Json = {
        "model": conversation.model,
        "messages": write_messages(conversation.turns, translation),
        **_limits(conversation, translation),
        **_sampling(conversation, translation),
        **_reasoning(conversation.reasoning, translation),
        **write_tools(conversation, translation),
        **_output(conversation, translation),
        **_attribution(conversation, translation),
        **conversation.ext.get("chat", {}),
    }
    if conversation.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def _check_state(conversation: Conversation, translation: Translation) -> None:
    state = conversation.state
    if state.previous_response_id:
        lose(translation, "state.previous", "previous_response_id")
    if state.conversation:
        lose(translation, "state.conversation", "conversation")
    if state.background:
        lose(translation, "state.background", "background")
    if conversation.sampling.n > 1:
        lose(translation, "sampling.n", "n")


def _check_prefill(conversation: Conversation, translation: Translation) -> None:
    """A last assistant turn is a beginning to go on from, for Messages clients only."""
    if translation.client != "messages" or not _ends_with_assistant(conversation):
        return
    if not translation.capabilities.prefill:
        lose(translation, "turn.prefill", "messages")


def _ends_with_assistant(conversation: Conversation) -> bool:
    return bool(conversation.turns) and conversation.turns[-1].role == "assistant"


def _limits(conversation: Conversation, translation: Translation) -> Json:
    fields = _max_tokens(conversation.max_output_tokens, translation)
    at_most = translation.capabilities.stop_max
    stops = conversation.stop
    if stops and at_most is not None and len(stops) > at_most:
        translation.enforced_stops = stops
        stops = stops[:at_most]
    if stops:
        fields["stop"] = list(stops)
    if translation.client == "messages" and _ends_with_assistant(conversation):
        fields |= {"continue_final_message": True, "add_generation_prompt": False}
    return fields


def _max_tokens(wanted: int | None, translation: Translation) -> Json:
    if wanted is None:
        return {}
    if wanted == 0:
        lose(translation, "max_output_tokens.zero", "max_tokens")
    limit = translation.capabilities.max_output_tokens
    if limit is not None and wanted > limit:
        if translation.client == "messages":
            raise CallError.invalid(
                f"`max_tokens` is {wanted}; this model writes at most {limit}", param="max_tokens"
            )
        lose(translation, "max_output_tokens", "max_tokens", f"{wanted} was lowered to {limit}")
        wanted = limit
    # All of OpenAI's models take the newer name, and the reasoning ones only that.
    newer = translation.vendor == "openai"
    return {"max_completion_tokens" if newer else translation.capabilities.max_tokens_field: wanted}


def _sampling(conversation: Conversation, translation: Translation) -> Json:
    asked, capabilities = conversation.sampling, translation.capabilities
    fields: Json = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "seed": asked.seed,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "logit_bias": asked.logit_bias,
    }
    if capabilities.sampling == "refused":
        for name in ("temperature", "top_p"):
            if fields.pop(name) not in (None, 1):
                lose(translation, f"sampling.{name}", name)
    elif capabilities.sampling == "one_of_temperature_top_p" and None not in (asked.temperature, asked.top_p):
        lose(translation, "sampling.top_p", "top_p")
        del fields["top_p"]
    if asked.top_k is not None:
        if capabilities.top_k:
            fields["top_k"] = asked.top_k
        else:
            lose(translation, "sampling.top_k", "top_k")
    if asked.logprobs:
        if capabilities.logprobs:
            fields |= {"logprobs": True, "top_logprobs": asked.top_logprobs}
        else:
            lose(translation, "sampling.logprobs", "logprobs")
    return {name: value for name, value in fields.items() if value is not None}


def _reasoning(spec: ReasoningSpec, translation: Translation) -> Json:
    wanted = _wanted_effort(spec, translation)
    if wanted is None:
        return {}
    offered = translation.capabilities.efforts
    if not offered:
        if wanted != "none":
            lose(translation, "reasoning.effort", "reasoning_effort", "This model has no reasoning effort")
        return {}
    nearest = _nearest(wanted, offered)
    if nearest != wanted:
        lose(translation, "reasoning.effort", "reasoning_effort", f"{wanted} became {nearest}")
    return {"reasoning_effort": nearest}


def _wanted_effort(spec: ReasoningSpec, translation: Translation) -> Effort | None:
    if spec.mode in ("off", "between_tools"):
        return "none"
    if spec.effort is not None:
        return spec.effort
    if spec.mode == "budget" and spec.budget_tokens is not None:
        efforts = [name for below, name in _BUDGETS if spec.budget_tokens < below]
        effort: Effort = efforts[0] if efforts else "max"
        detail = f"A budget of {spec.budget_tokens} tokens became the effort {effort}"
        lose(translation, "reasoning.budget", "thinking.budget_tokens", detail)
        return effort
    return None


def _nearest(wanted: Effort, offered: tuple[Effort, ...]) -> Effort:
    """The next lower effort on offer; the lowest if there is none below."""
    rank = EFFORTS.index(wanted)
    below = [effort for effort in offered if EFFORTS.index(effort) <= rank]
    return max(below, key=EFFORTS.index) if below else min(offered, key=EFFORTS.index)


def _output(conversation: Conversation, translation: Translation) -> Json:
    output = conversation.output
    fields: Json = {"verbosity": output.verbosity} if output.verbosity else {}
    if output.format == "json":
        fields["response_format"] = {"type": "json_object"}
    elif output.format == "schema" and not translation.capabilities.structured_output:
        lose(translation, "output.schema", "response_format")
        fields["response_format"] = {"type": "json_object"}
    elif output.format == "schema":
        wrapped: Json = {"name": output.name or "response", "schema": output.schema or {"type": "object"}}
        if output.description:
            wrapped["description"] = output.description
        wrapped["strict"] = qualifies_as_strict(output.schema) if output.strict is None else output.strict
        fields["response_format"] = {"type": "json_schema", "json_schema": wrapped}
    return fields


def _attribution(conversation: Conversation, translation: Translation) -> Json:
    who = conversation.attribution
    fields: Json = {}
    if who.inference_geo:
        lose(translation, "attribution.inference_geo", "inference_geo")
    if who.speed and who.speed != "standard":
        lose(translation, "attribution.speed", "speed")
    if who.user_id:
        fields["safety_identifier"] = _short_id(who.user_id)
    if who.service_tier:
        tier = _TIERS.get(who.service_tier, who.service_tier)
        if tier in _CHAT_TIERS:
            fields["service_tier"] = tier
        else:
            lose(translation, "attribution.service_tier", "service_tier")
    if translation.vendor == "openai":
        fields |= _for_openai(conversation, translation)
    return fields


def _for_openai(conversation: Conversation, translation: Translation) -> Json:
    """Hints that other Chat servers would refuse as unknown. `store` only as a Chat client meant it: the
    store of a Responses client is here, and nobody asked OpenAI to keep the completion.
    """
    who = conversation.attribution
    fields: Json = {}
    if who.metadata:
        fields["metadata"] = who.metadata
    if conversation.state.store is not None and translation.client == "chat":
        fields["store"] = conversation.state.store
    if who.cache_key:
        fields["prompt_cache_key"] = who.cache_key
    if who.cache_retention in ("in_memory", "24h"):
        fields["prompt_cache_retention"] = who.cache_retention
    return fields


def _short_id(user_id: str) -> str:
    if len(user_id) <= USER_ID_CHARS_MAX:
        return user_id
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
