"""The loss table: whole, and as good as its word."""

from __future__ import annotations

from typing import Any

import pytest

from modelway.conversation.capabilities import Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.features import FEATURES
from modelway.conversation.parts import Audio, HostedCall, Opaque, Part, Reasoning, Refusal, Text, Turn
from modelway.conversation.request import (
    Attribution,
    FunctionTool,
    HostedTool,
    OutputSpec,
    ReasoningSpec,
    Sampling,
    StateSpec,
    ToolChoice,
)
from modelway.conversation.translation import Fate
from modelway.protocols.anthropic_messages.losses import LEAVING, LOSS, LOSSES
from tests.protocols.anthropic_messages.support import HI, Json, from_chat, user, write

PLAIN = FunctionTool(name="f", schema={"type": "object", "properties": {}})
PICKY = FunctionTool(name="f", schema={"type": "string", "minLength": 1}, strict=True)


def said(*parts: Part) -> tuple[Turn, ...]:
    return (HI, Turn(role="assistant", parts=(*parts, Text(text="a"))), HI)


# Feature -> turns, fields and capabilities that lose it.
LOST: dict[str, tuple[tuple[Turn, ...], Json, Json]] = {
    "system.mid": ((HI, Turn(role="system", parts=(Text(text="s"),))), {}, {}),
    "turn.name": ((Turn(role="user", name="Ann", parts=(Text(text="x"),)),), {}, {}),
    "turn.prefill": ((HI, Turn(role="assistant", parts=(Text(text="a"),))), {}, {}),
    "part.audio": ((user(Audio(data="AAAA", format="wav")),), {}, {}),
    "part.reasoning": (said(Reasoning(text="hm")), {}, {}),
    "part.hosted_call": (said(HostedCall(protocol="chat", id="", name="x", raw=())), {}, {}),
    "part.refusal": (said(Refusal(text="no")), {}, {}),
    "part.opaque": (said(Opaque(protocol="chat", raw={})), {}, {}),
    "tool.function.strict": ((HI,), {"tools": (PICKY,)}, {}),
    "tool.hosted.other": ((HI,), {"tools": (HostedTool(kind="x", protocol="chat", raw={}),)}, {}),
    "tool_choice": (
        (HI,),
        {"tools": (PLAIN,), "tool_choice": ToolChoice("required")},
        {"forced_tools": False},
    ),
    "max_output_tokens": ((HI,), {"max_output_tokens": 9}, {"max_output_tokens": 5}),
    "sampling.temperature": ((HI,), {"sampling": Sampling(temperature=1.5)}, {}),
    "sampling.top_p": ((HI,), {"sampling": Sampling(top_p=0.5)}, {"sampling": "refused"}),
    "sampling.top_k": ((HI,), {"sampling": Sampling(top_k=5)}, {"sampling": "refused"}),
    "sampling.seed": ((HI,), {"sampling": Sampling(seed=5)}, {}),
    "sampling.penalties": ((HI,), {"sampling": Sampling(frequency_penalty=1)}, {}),
    "sampling.logit_bias": ((HI,), {"sampling": Sampling(logit_bias={"5": 1})}, {}),
    "sampling.logprobs": ((HI,), {"sampling": Sampling(logprobs=True)}, {}),
    "sampling.n": ((HI,), {"sampling": Sampling(n=2)}, {}),
    "reasoning.mode": ((HI,), {"reasoning": ReasoningSpec("adaptive")}, {"thinking_types": frozenset()}),
    "reasoning.effort": ((HI,), {"reasoning": ReasoningSpec(effort="max")}, {"efforts": ("low",)}),
    "reasoning.budget": (
        (HI,),
        {"reasoning": ReasoningSpec("budget", budget_tokens=2000)},
        {"thinking_types": frozenset({"adaptive"})},
    ),
    "output.json": ((HI,), {"output": OutputSpec(format="json")}, {}),
    "output.schema": (
        (HI,),
        {"output": OutputSpec(format="schema", schema={"type": "string", "minLength": 1})},
        {},
    ),
    "output.verbosity": ((HI,), {"output": OutputSpec(verbosity="low")}, {}),
    "state.previous": ((HI,), {"state": StateSpec(previous_response_id="r")}, {}),
    "state.conversation": ((HI,), {"state": StateSpec(conversation="c")}, {}),
    "state.background": ((HI,), {"state": StateSpec(background=True)}, {}),
    "attribution.service_tier": ((HI,), {"attribution": Attribution(service_tier="flex")}, {}),
}


def lose(feature: str, **changes: Any) -> Any:
    turns, fields, able = LOST[feature]
    place = from_chat(capabilities=Capabilities(**able), **changes)
    write(*turns, place=place, **fields)
    return place


def test_every_feature_has_one_row() -> None:
    assert sorted(loss.field for loss in LOSSES) == sorted(FEATURES)


def test_what_is_lost_has_a_code_and_a_reason() -> None:
    for loss in (*LOSSES, *LEAVING.values()):
        assert loss.why
        assert loss.code or loss.fate is Fate.KEPT


@pytest.mark.parametrize("feature", [feature for feature in LOST if LOSS[feature].fate is Fate.CHANGED])
def test_T304_a_loss_warns_and_is_refused_when_strict(feature: str) -> None:
    code = LOSS[feature].code

    assert code in [warning.code for warning in lose(feature).warnings]
    with pytest.raises(CallError) as caught:
        lose(feature, strict=True)
    assert caught.value.code == code
    assert caught.value.kind.status == 400


@pytest.mark.parametrize("feature", [feature for feature in LOST if LOSS[feature].fate is Fate.REFUSED])
def test_T304_what_cannot_be_said_is_refused(feature: str) -> None:
    with pytest.raises(CallError) as caught:
        lose(feature)
    assert caught.value.code == LOSS[feature].code
