"""Agent frameworks through the gateway: a whole tool loop in each dialect they speak, on every upstream."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream
from tests.programs.answers import MODELS, PATHS, PROTOCOLS, Protocol, Turn, Use, reply, stream
from tests.programs.heard import heard
from tests.programs.running import frameworks_python, run

PROGRAM = Path(__file__).parent / "framework_program.py"
STOP_S = 10

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


class Frameworks:
    """The program that uses the frameworks; kept running, because importing them takes longest."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [frameworks_python(), str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "NO_PROXY": "127.0.0.1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it asks the network for prices
                "LANGSMITH_TRACING": "false",
            },
        )

    def use(
        self, use: str, gateway: Gateway, dialect: Protocol, model: str, *, streams: bool
    ) -> dict[str, Any]:
        asked = {
            "use": use,
            "dialect": dialect,
            "model": model,
            "stream": streams,
            "base_url": gateway.base_url,
            "api_key": gateway.api_key,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the frameworks' program ended with {self._process.poll()}"
        return cast(dict[str, Any], json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(STOP_S)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frameworks]:
    program = Frameworks(tmp_path_factory.mktemp("home"))
    yield program
    program.close()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("framework", "dialect"), CASES)
def test_a_framework_comes_to_the_end_of_its_tool_loop(
    frameworks: Frameworks,
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

    seen = frameworks.use(framework, gateway, dialect, MODELS[protocol], streams=streams)

    assert "error" not in seen, seen["error"]
    assert seen["text"].endswith(ENDING)
    assert seen["heard"] == [["Paris", 7]]
    assert heard(protocol, upstream.last).calls == {FORECAST.id: FORECAST.name}
    assert "sunny-Paris-7" in heard(protocol, upstream.last).results[FORECAST.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dialect", PROTOCOLS)
def test_instructor_gets_its_typed_answer(
    frameworks: Frameworks,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    dialect: Protocol,
    protocol: Protocol,
) -> None:
    typed = Use("call_far_1", "Forecast", {"city": "Paris", "days": 7})
    upstream.answers(PATHS[protocol], reply(protocol, Turn(uses=(typed,))))

    seen = frameworks.use("instructor", gateway, dialect, MODELS[protocol], streams=False)

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
