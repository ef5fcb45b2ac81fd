"""The neutral conversation -> the body for a Messages upstream. Each section writes its own fields."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from modelway.conversation.errors import CallError
from modelway.conversation.repair import repaired
from modelway.conversation.request import Conversation, FunctionTool, ToolChoice
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.losses import LOSS
from modelway.protocols.anthropic_messages.schemas import enforceable
from modelway.protocols.anthropic_messages.thinking import Plan, plan, without_thinking
from modelway.protocols.anthropic_messages.wire import DEFAULT_OUTPUT_TOKENS, NAME, encode
from modelway.protocols.anthropic_messages.write_blocks import Fields, Writing, cache_control
from modelway.protocols.anthropic_messages.write_tools import forced, unforced, write_choice, write_tools
from modelway.protocols.anthropic_messages.write_turns import write_turns

JSON_INSTRUCTION = "Respond with a single JSON object and nothing else."
ANSWER_TOOL = "respond_json"
USER_ID_CHARACTERS_MAX = 256


def write_request(conversation: Conversation, translation: Translation) -> bytes:
    """The body; whatever this upstream cannot be told goes to the translation."""
    _judge(conversation, translation)
    conversation = _with_answer_tool(conversation, translation)
    writing = Writing(translation, conversation.model)
    tools = write_tools(conversation.tools, conversation.tool_choice, writing)
    system, messages = write_turns(repaired(conversation.turns, translation), writing)
    max_tokens = _max_tokens(conversation, translation)
    choice = write_choice(conversation, writing) if tools else None
    planned, choice = _compatible(plan(conversation.reasoning, max_tokens, translation), choice, writing)
    body: Fields = {"model": conversation.model, "max_tokens": max_tokens}
    body |= _system(system, conversation)
    body["messages"] = messages
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    body |= _thinking(planned, conversation, translation)
    body |= _sampling(conversation, planned, translation)
    body |= _stop(conversation, translation)
    body |= _attribution(conversation, translation)
    body |= _own(conversation, body)
    writing.thin_marks(taken=1 if "cache_control" in body else 0)
    if conversation.stream:
        body["stream"] = True
    return encode(body)


def _own(conversation: Conversation, body: Fields) -> Fields:
    """What only Messages says: its client's unknown fields, and the mark over the whole prompt."""
    own = dict(conversation.ext.get(NAME, {}))
    budget = own.pop("task_budget", None)
    if budget is not None:
        own["output_config"] = {**body.get("output_config", {}), "task_budget": budget}
    if conversation.cache is not None:
        own["cache_control"] = cache_control(conversation.cache)
    return own


# Feature -> where a client says it, and whether this conversation does.
_UNSAYABLE: tuple[tuple[str, str, Callable[[Conversation], bool]], ...] = (
    ("sampling.n", "n", lambda c: c.sampling.n != 1),
    ("sampling.seed", "seed", lambda c: c.sampling.seed is not None),
    (
        "sampling.penalties",
        "presence_penalty",
        lambda c: bool(c.sampling.presence_penalty or c.sampling.frequency_penalty),
    ),
    ("sampling.logit_bias", "logit_bias", lambda c: bool(c.sampling.logit_bias)),
    ("sampling.logprobs", "logprobs", lambda c: bool(c.sampling.logprobs or c.sampling.top_logprobs)),
    ("output.verbosity", "verbosity", lambda c: c.output.verbosity is not None),
    ("state.previous", "previous_response_id", lambda c: c.state.previous_response_id is not None),
    ("state.conversation", "conversation", lambda c: c.state.conversation is not None),
    ("state.background", "background", lambda c: bool(c.state.background)),
)


def _judge(conversation: Conversation, translation: Translation) -> None:
    for feature, param, said in _UNSAYABLE:
        if said(conversation):
            translation.lose(LOSS[feature], param)


def _max_tokens(conversation: Conversation, translation: Translation) -> int:
    """The client's limit, or the most the model writes: Messages insists on one."""
    most = translation.capabilities.max_output_tokens
    asked = conversation.max_output_tokens
    if asked is None:
        return most or DEFAULT_OUTPUT_TOKENS
    if most is None or asked <= most:
        return asked
    if translation.client == NAME:
        raise CallError.invalid(
            f"`max_tokens` is {asked}; this model writes at most {most}", param="max_tokens"
        )
    translation.lose(LOSS["max_output_tokens"], "max_tokens", f"{asked} is more than the model's {most}")
    return most


def _system(system: list[Fields], conversation: Conversation) -> Fields:
    if conversation.output.format == "json":
        system = [*system, {"type": "text", "text": JSON_INSTRUCTION}]
    if not system:
        return {}
    if len(system) == 1 and system[0].keys() == {"type", "text"}:
        return {"system": system[0]["text"]}
    return {"system": system}


def _compatible(planned: Plan, choice: Fields | None, writing: Writing) -> tuple[Plan, Fields | None]:
    """Thinking and a forced tool rarely go together: the force stays if thinking can be switched off."""
    if choice is None or not forced(choice):
        return planned, choice
    translation = writing.translation
    capabilities = translation.capabilities
    if capabilities.forced_tools and (not planned.thinks or capabilities.forced_tools_with_thinking):
        return planned, choice
    quiet = without_thinking(planned, translation) if capabilities.forced_tools else None
    if quiet is None:
        return planned, unforced(choice, writing)
    translation.warn(
        "thinking_dropped", "tool_choice", "A forced tool excludes thinking here: thinking is switched off"
    )
    return quiet, choice


def _thinking(planned: Plan, conversation: Conversation, translation: Translation) -> Fields:
    """`thinking` and `output_config`: its effort, and the form of the answer."""
    fields: Fields = {"thinking": planned.thinking} if planned.thinking else {}
    config: Fields = {"effort": planned.effort} if planned.effort else {}
    form = _format(conversation, translation)
    if form is not None:
        config["format"] = form
    if config:
        fields["output_config"] = config
    return fields


def _format(conversation: Conversation, translation: Translation) -> Fields | None:
    output = conversation.output
    if output.format == "json":
        translation.lose(LOSS["output.json"], "response_format")
    if output.format != "schema" or translation.answer_tool:
        return None
    schema = output.schema or {"type": "object"}
    if translation.client == NAME:
        return {"type": "json_schema", "schema": schema}
    filtered, removed = enforceable(schema, "response_format")
    if removed:
        detail = f"{', '.join(sorted(set(removed)))} cannot be enforced; the descriptions say them"
        translation.lose(LOSS["output.schema"], "response_format", detail)
    return {"type": "json_schema", "schema": filtered}


def _with_answer_tool(conversation: Conversation, translation: Translation) -> Conversation:
    """A model without structured output answers through a tool that takes the answer's schema."""
    output = conversation.output
    if output.format != "schema" or translation.capabilities.structured_output:
        return conversation
    translation.lose(LOSS["output.schema"], "response_format", "The model answers through a forced tool")
    translation.answer_tool = ANSWER_TOOL
    tool = FunctionTool(
        name=ANSWER_TOOL,
        schema=output.schema or {"type": "object"},
        description=output.description or "Give the answer in this form.",
    )
    choice = ToolChoice("required") if conversation.tools else ToolChoice("named", (ANSWER_TOOL,))
    return structs.replace(conversation, tools=(*conversation.tools, tool), tool_choice=choice)


def _sampling(conversation: Conversation, planned: Plan, translation: Translation) -> Fields:
    """Temperature and its kin, as far as this model and its thinking allow."""
    asked = conversation.sampling
    allowed = translation.capabilities.sampling
    fields: Fields = {}
    for name, neutral in (("temperature", 1.0), ("top_p", 1.0), ("top_k", None)):
        value = getattr(asked, name)
        if value is None:
            continue
        if allowed == "refused" or planned.thinks:
            if value != neutral:
                why = "this model has no sampling fields" if allowed == "refused" else "it is thinking"
                translation.lose(LOSS[f"sampling.{name}"], name, f"`{name}` {value} is left out: {why}")
        elif name == "top_p" and allowed == "one_of_temperature_top_p" and "temperature" in fields:
            translation.lose(LOSS["sampling.top_p"], name, "This model takes temperature or top_p, not both")
        else:
            fields[name] = value
    if fields.get("temperature", 0) > 1:
        detail = f"`temperature` is {fields['temperature']}; 1 is the most Messages takes and is sent"
        translation.lose(LOSS["sampling.temperature"], "temperature", detail)
        fields["temperature"] = 1.0
    return fields


def _stop(conversation: Conversation, translation: Translation) -> Fields:
    """Sequences of white space alone are refused there, so the gateway watches for them."""
    sent = [sequence for sequence in conversation.stop if sequence.strip()]
    translation.enforced_stops = tuple(s for s in conversation.stop if s and not s.strip())
    return {"stop_sequences": sent} if sent else {}


_TIERS = {"auto": "auto", "standard_only": "standard_only", "default": "standard_only"}


def _attribution(conversation: Conversation, translation: Translation) -> Fields:
    who = conversation.attribution
    fields: Fields = {}
    if who.user_id:
        fields["metadata"] = {"user_id": who.user_id[:USER_ID_CHARACTERS_MAX]}
    if who.service_tier is not None:
        fields["service_tier"] = _tier(who.service_tier, translation)
    if who.speed is not None:
        fields["speed"] = who.speed
    if who.inference_geo is not None:
        fields["inference_geo"] = who.inference_geo
    return fields


def _tier(tier: str, translation: Translation) -> str:
    if tier in _TIERS:
        return _TIERS[tier]
    sent = "standard_only" if tier == "flex" else "auto"
    detail = f"`service_tier` is {tier!r}, which only OpenAI has; {sent} is sent"
    translation.lose(LOSS["attribution.service_tier"], "service_tier", detail)
    return sent
