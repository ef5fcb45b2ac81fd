"""A request on its way to an upstream of its own protocol: the few top-level fields a model is known to
refuse, brought into a form it takes. Strict calls go as they came and get the vendor's own refusal.
"""

from __future__ import annotations

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.request import ReasoningSpec
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages.thinking import plan
from modelway.protocols.anthropic_messages.wire import Body, encode
from modelway.protocols.members import Span

Changes = dict[str, bytes | None]  # top-level name -> its new text, None to leave it out


def must_be_rewritten(body: Body, translation: Translation) -> bool:
    """Whether the messages hold a system message, and the model is known to take none there: agents send
    them to every gateway. A model without a card is left to judge for itself.
    """
    if translation.strict or all(message.role != "system" for message in body.messages):
        return False
    capabilities = translation.capabilities
    return not capabilities.mid_system and capabilities != ANY_MODEL


def changes(body: Body, translation: Translation) -> Changes:
    """What must differ from the body as it came; nearly always nothing."""
    if translation.strict:
        return {}
    return _sampling(body, translation) | _thinking(body, translation)


_NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": None}  # what even a refusing model takes


def _sampling(body: Body, translation: Translation) -> Changes:
    allowed = translation.capabilities.sampling
    dropped: Changes = {}
    if allowed == "refused":
        dropped = {
            name: None for name, neutral in _NEUTRAL.items() if getattr(body, name) not in (None, neutral)
        }
    elif allowed == "one_of_temperature_top_p" and None not in (body.temperature, body.top_p):
        dropped = {"top_p": None}
    for name in dropped:
        translation.warn("sampling", name, f"This model refuses `{name}` here; it is left out")
    return dropped


def _thinking(body: Body, translation: Translation) -> Changes:
    thinking = body.thinking
    if thinking is None or _taken(thinking.type, translation.capabilities):
        return {}
    mode = {"enabled": "budget", "disabled": "off"}.get(thinking.type, thinking.type)
    spec = ReasoningSpec(
        mode=mode,  # type: ignore[arg-type]  # parse lets only known types through
        budget_tokens=thinking.budget_tokens,
        summary={"summarized": "auto", "omitted": "none"}.get(thinking.display or ""),  # type: ignore[arg-type]  # the same
    )
    planned = plan(spec, body.max_tokens or 0, translation)
    changed: Changes = {"thinking": encode(planned.thinking) if planned.thinking else None}
    if planned.effort is not None and body.output_config is None:
        changed["output_config"] = encode({"effort": planned.effort})
    return changed


def _taken(kind: str, capabilities: Capabilities) -> bool:
    return kind in capabilities.thinking_types


def rebuilt(body: bytes, members: dict[str, Span], changes: Changes) -> bytes:
    """The body with some top-level values changed; every other value byte for byte."""
    texts = {name: body[begin:end] for name, (begin, end) in members.items()}
    merged = {**texts, **changes}
    return b"{" + b",".join(encode(k) + b":" + v for k, v in merged.items() if v is not None) + b"}"
