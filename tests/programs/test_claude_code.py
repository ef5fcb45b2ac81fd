"""Claude Code (print mode) through the gateway, on upstreams that speak each of the three protocols."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream, whole
from tests.programs.answers import (
    ERROR_FRAMES,
    MODELS,
    OVERLOADED,
    PATHS,
    PROTOCOLS,
    Protocol,
    begun,
    reply,
    script,
    stream,
)
from tests.programs.heard import heard
from tests.programs.pictures import red_picture
from tests.programs.running import Finished, node_package, run
from tests.programs.turns import Turn, Use

ENDING = "It says xylophone."
SECRET = "the word is xylophone"
COPY = Use("toolu_far_1", "Bash", {"command": "cat secret.txt | tee copy.txt", "description": "Copies it"})
THOUGHT = "I should read the file before I answer."
SIGNATURE = base64.b64encode(bytes(range(96))).decode()


class ClaudeCode:
    """A home and a working folder; `ask` is `claude -p`."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self._program = node_package("@anthropic-ai", "claude-code", "bin", "claude.exe")
        self.home, self.folder = folder / "home", folder / "work"
        self.home.mkdir()
        self.folder.mkdir()
        (self.folder / "secret.txt").write_text(SECRET + "\n")
        self.environment = {
            "HOME": str(self.home),
            "ANTHROPIC_BASE_URL": gateway.base_url,
            "ANTHROPIC_AUTH_TOKEN": gateway.api_key,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def ask(self, model: str, prompt: str = "please do it", *words: str) -> Finished:
        tools = ["--allowedTools", "Bash", "Read", "Write"]
        command: list[str | Path] = [self._program, "-p", prompt, "--model", model, *tools, *words]
        return run(command, self.folder, self.environment)


@pytest.fixture
def claude(tmp_path: Path, gateway: Gateway) -> ClaudeCode:
    return ClaudeCode(tmp_path, gateway)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_A55_claude_code_runs_a_tool_and_reports_its_result(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    model = script(upstream, protocol, Turn(text="Let me look.", uses=(COPY,)), Turn(text=ENDING))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert (claude.folder / "copy.txt").read_text() == SECRET + "\n"
    seen = heard(protocol, upstream.last)
    assert seen.calls == {COPY.id: "Bash"}
    assert seen.results == {COPY.id: SECRET}
    assert [call.path for call in upstream.calls] == [PATHS[protocol]] * 2
    assert {call.json()["model"] for call in upstream.calls} == {f"far-{protocol}"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_claude_code_runs_parallel_calls_one_of_which_fails(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    read = Use("toolu_far_1", "Read", {"file_path": str(claude.folder / "secret.txt")})
    fail = Use("toolu_far_2", "Bash", {"command": "echo no such luck; exit 3", "description": "Fails"})
    model = script(upstream, protocol, Turn(uses=(read, fail)), Turn(text=ENDING))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    seen = heard(protocol, upstream.last)
    assert seen.calls == {read.id: "Read", fail.id: "Bash"}
    assert SECRET in seen.results[read.id]
    assert "no such luck" in seen.results[fail.id]
    assert "Exit code 3" in seen.results[fail.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_thinking_comes_back_to_its_upstream_with_the_same_signature(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    first = Turn(thinking=THOUGHT, signature=SIGNATURE, uses=(COPY,))
    model = script(upstream, protocol, first, Turn(text=ENDING))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert heard(protocol, upstream.last).thoughts == [(THOUGHT, SIGNATURE)]


def test_unsigned_thinking_of_a_chat_upstream_comes_back(
    claude: ClaudeCode, upstream: ScriptedUpstream
) -> None:
    model = script(upstream, "chat", Turn(thinking=THOUGHT, uses=(COPY,)), Turn(text=ENDING))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert heard("chat", upstream.last).thoughts == [(THOUGHT, "")]


@pytest.mark.parametrize(
    ("before", "after"), [(one, other) for one in PROTOCOLS for other in PROTOCOLS if one != other]
)
def test_a_session_goes_on_with_a_model_that_speaks_another_protocol(
    claude: ClaudeCode, upstream: ScriptedUpstream, before: Protocol, after: Protocol
) -> None:
    first = Turn(thinking=THOUGHT, signature=SIGNATURE, uses=(COPY,))
    script(upstream, before, first, Turn(text=ENDING))
    script(upstream, after, Turn(text="As I said."))

    begun_well = claude.ask(MODELS[before])
    done = claude.ask(MODELS[after], "say it again", "--continue")

    assert begun_well.status == 0, begun_well
    assert (done.status, done.out) == (0, "As I said.\n"), done
    assert upstream.last.path == PATHS[after]
    assert heard(after, upstream.last).results == {COPY.id: SECRET}
    assert SIGNATURE not in upstream.last.body.decode(), "a vendor's signature went to another vendor"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_in_the_middle_of_a_stream_is_tried_again(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    """Claude Code repeats such a request without streaming."""
    broken = begun(protocol, Turn(text="Half of this will"), then=ERROR_FRAMES[protocol])
    upstream.answers(PATHS[protocol], broken, reply(protocol, Turn(text=ENDING)))

    done = claude.ask(MODELS[protocol])

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert [call.json().get("stream", False) for call in upstream.calls] == [True, False]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_overloaded_upstream_is_tried_again(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    status = 529 if protocol == "messages" else 503
    busy = whole(OVERLOADED, status=status)
    upstream.answers(PATHS[protocol], busy, busy, stream(protocol, Turn(text=ENDING)))

    done = claude.ask(MODELS[protocol])

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert len(upstream.calls) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_picture_that_claude_code_reads_reaches_the_upstream(
    claude: ClaudeCode, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    (claude.folder / "red.png").write_bytes(red_picture())
    read = Use("toolu_far_1", "Read", {"file_path": str(claude.folder / "red.png")})
    model = script(upstream, protocol, Turn(uses=(read,)), Turn(text="It is red."))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, "It is red.\n"), done
    assert base64.b64encode(red_picture()) in upstream.last.body
    assert list(heard(protocol, upstream.last).results) == [read.id]


def test_claude_code_may_present_its_key_as_an_api_key(
    claude: ClaudeCode, upstream: ScriptedUpstream
) -> None:
    claude.environment["ANTHROPIC_API_KEY"] = claude.environment.pop("ANTHROPIC_AUTH_TOKEN")
    model = script(upstream, "chat", Turn(text=ENDING))

    done = claude.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done


def test_claude_code_says_that_a_model_does_not_exist(claude: ClaudeCode, upstream: ScriptedUpstream) -> None:
    done = claude.ask("no-such-model")

    assert done.status == 1, done
    assert "no-such-model" in done.out, done
    assert upstream.calls == []


def test_a_context_that_is_too_long_is_told_in_words_claude_code_knows(
    claude: ClaudeCode, upstream: ScriptedUpstream
) -> None:
    error = {"message": "maximum context length is 8 tokens", "code": "context_length_exceeded"}
    upstream.answers(PATHS["chat"], whole(json.dumps({"error": error}).encode(), status=400))

    done = claude.ask(MODELS["chat"])

    assert done.status == 1, done
    assert "Prompt is too long" in done.out, done


def test_claude_code_reports_the_tokens_the_upstream_counted(
    claude: ClaudeCode, upstream: ScriptedUpstream
) -> None:
    model = script(upstream, "responses", Turn(uses=(COPY,)), Turn(text=ENDING))

    done = claude.ask(model, "please do it", "--output-format", "json")

    usage = json.loads(done.out)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (240, 60)
