"""Agent frameworks through the gateway: a whole tool loop in each dialect they speak, on every upstream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.programs.answers import MODELS, PATHS, PROTOCOLS, Protocol, reply, stream
from tests.programs.heard import heard
from tests.programs.running import LineProgram, frameworks_python, run
from tests.programs.turns import Turn, Use

PROGRAM = Path(__file__).parent / "framework_program.py"
ENDING = "A sunny week."
FORECAST = Use("call_far_1", "get_weather", {"city": "Paris", "days": 7})

# Which dialects each framework speaks.
LOOPS: dict[str, tuple[Protocol, ...]] = {
    "openai-agents": ("chat", "responses"),
    "pydantic-ai": PROTOCOLS,
    "langchain": PROTOCOLS,
    "litellm": PROTOCOLS,
}
CASES = [(framework, dialect) for framework, dialects in LOOPS.items() for dialect in dialects]


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineProgram]:
    environment = {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the network for prices
        "LANGSMITH_TRACING": "false",
    }
    program = LineProgram([frameworks_python(), PROGRAM], environment)
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
    dialect: Protocol,
    protocol: Protocol,
    streams: bool,
) -> None:
    # litellm streams nothing over Responses from a model it does not know; it cuts a whole answer up.
    answered = stream if streams and (framework, dialect) != ("litellm", "responses") else reply
    # pydantic-ai's stream takes the first text for the answer and ends there, call or no call.
    before = "" if streams and framework == "pydantic-ai" else "Let me see."
    turns = (Turn(text=before, uses=(FORECAST,)), Turn(text=ENDING))
    upstream.answers(PATHS[protocol], *(answered(protocol, turn) for turn in turns))

    seen = frameworks.ask(framework, gateway, dialect=dialect, model=MODELS[protocol], stream=streams)

    assert "error" not in seen, seen["error"]
    assert seen["text"].endswith(ENDING)
    assert seen["heard"] == [["Paris", 7]]
    assert heard(protocol, upstream.last).calls == {FORECAST.id: FORECAST.name}
    assert "sunny-Paris-7" in heard(protocol, upstream.last).results[FORECAST.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dialect", PROTOCOLS)
def test_instructor_gets_its_typed_answer(
    frameworks: LineProgram,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    dialect: Protocol,
    protocol: Protocol,
) -> None:
    typed = Use("call_far_1", "Forecast", {"city": "Paris", "days": 7})
    upstream.answers(PATHS[protocol], reply(protocol, Turn(uses=(typed,))))

    seen = frameworks.ask("instructor", gateway, dialect=dialect, model=MODELS[protocol])

    assert "error" not in seen, seen["error"]
    assert seen["heard"] == [["Paris", 7]]


LLM_MODELS = """\
- model_id: scripted
  model_name: {model}
  api_base: {base_url}/v1
  api_key_name: gateway
  supports_tools: true
"""
LLM_FUNCTION = "def get_weather(city: str, days: int) -> str:\n    return f'sunny-{city}-{days}'\n"


@pytest.mark.parametrize("words", [[], ["--no-stream"]], ids=["streamed", "whole"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_llm_command_runs_a_function_and_prints_the_answer(
    tmp_path: Path, gateway: Gateway, upstream: ScriptedUpstream, protocol: Protocol, words: list[str]
) -> None:
    answered = reply if words else stream
    upstream.answers(
        PATHS[protocol], answered(protocol, Turn(uses=(FORECAST,))), answered(protocol, Turn(text=ENDING))
    )
    models = LLM_MODELS.format(model=MODELS[protocol], base_url=gateway.base_url)
    (tmp_path / "extra-openai-models.yaml").write_text(models)
    environment = {"HOME": str(tmp_path), "LLM_USER_PATH": str(tmp_path)}
    command: list[str | Path] = [frameworks_python(), "-m", "llm", "-m", "scripted", "--key", gateway.api_key]

    done = run([*command, "--functions", LLM_FUNCTION, *words, "How is Paris?"], tmp_path, environment)

    assert (done.status, done.out.strip()) == (0, ENDING), done
    assert heard(protocol, upstream.last).results == {FORECAST.id: "sunny-Paris-7"}
