"""Agent frameworks of Node through the gateway: a whole tool loop in each dialect, on every upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.programs.answers import MODELS, PATHS, PROTOCOLS, Protocol, reply, stream
from tests.programs.heard import heard
from tests.programs.running import LineProgram, node_program
from tests.programs.turns import Turn, Use

FORECAST = Use("call_far_1", "get_weather", {"city": "Paris", "days": 7})
THOUGHT, SIGNATURE = "The tool knows.", "c2lnbmVkIGJ5IHRoZSB2ZW5kb3I="
ENDING = "A sunny week."

CASES = [
    ("ai-sdk", "chat"),
    ("ai-sdk", "compatible"),
    ("ai-sdk", "messages"),
    ("ai-sdk", "responses"),
    ("openai-agents", "chat"),
    ("openai-agents", "responses"),
]


@pytest.fixture(scope="module")
def frameworks() -> Iterator[LineProgram]:
    program = node_program(Path(__file__).parent / "node_frameworks.mjs")
    yield program
    program.close()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("framework", "dialect"), CASES)
def test_a_framework_comes_to_the_end_of_its_tool_loop(
    frameworks: LineProgram,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    framework: str,
    dialect: str,
    protocol: Protocol,
    streams: bool,
) -> None:
    answered = stream if streams else reply
    signature = "" if protocol == "chat" else SIGNATURE
    first = Turn(thinking=THOUGHT, signature=signature, text="Let me see.", uses=(FORECAST,))
    upstream.answers(PATHS[protocol], answered(protocol, first), answered(protocol, Turn(text=ENDING)))

    seen = frameworks.ask(framework, gateway, dialect=dialect, model=MODELS[protocol], stream=streams)

    assert "error" not in seen, seen["error"]
    assert seen["text"].endswith(ENDING)
    assert seen["heard"] == [["Paris", 7]]
    history = heard(protocol, upstream.last)
    assert history.calls == {FORECAST.id: FORECAST.name}
    assert history.results == {FORECAST.id: "sunny-Paris-7"}
    if protocol != "chat":
        # Clients of Chat forget it; the gateway puts it back, or a vendor that signs would refuse the turn.
        assert history.thoughts == [(THOUGHT, SIGNATURE)]
