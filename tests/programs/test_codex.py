"""Codex (`codex exec`) through the gateway, on upstreams that speak each of the three protocols."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import ScriptedUpstream, whole
from tests.programs import mcp_server
from tests.programs.answers import (
    ERROR_FRAMES,
    MODELS,
    OVERLOADED,
    PATHS,
    PROTOCOLS,
    Protocol,
    begun,
    script,
    stream,
)
from tests.programs.heard import heard, offered
from tests.programs.pictures import red_picture
from tests.programs.running import Finished, node_package, run
from tests.programs.turns import Turn, Use

ENDING = "It says xylophone."
SECRET = "the word is xylophone"
COPY = Use("call_far_1", "exec_command", {"cmd": "cat secret.txt | tee copy.txt"})
THOUGHT = "I should read the file before I answer."
SIGNATURE = base64.b64encode(bytes(range(96))).decode()
PATCH = "*** Begin Patch\n*** Add File: new.txt\n+hello from a patch\n*** End Patch\n"
JAVASCRIPT = 'const r = await tools.exec_command({cmd: "cat secret.txt | tee copy.txt"}); text(r.output);'

CONFIG = """\
model_provider = "gateway"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.gateway]
name = "gateway"
base_url = "{base_url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
supports_websockets = {websockets}
{more}
"""


class Codex:
    """A home and a working folder; `ask` is `codex exec`."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self._program = node_package("@openai", "codex", "bin", "codex.js")
        self.home, self.folder = folder / "home", folder / "work"
        self.home.mkdir()
        self.folder.mkdir()
        (self.folder / "secret.txt").write_text(SECRET + "\n")
        self._base_url = gateway.base_url
        self.environment = {
            "HOME": str(self.home),
            "CODEX_HOME": str(self.home),
            "GATEWAY_KEY": gateway.api_key,
        }
        self.configure()

    def configure(self, more: str = "", *, websockets: bool = False) -> None:
        """`more` goes behind the provider's own settings and may begin tables."""
        config = CONFIG.format(base_url=self._base_url, websockets=str(websockets).lower(), more=more)
        (self.home / "config.toml").write_text(config)

    def ask(self, model: str, prompt: str = "please do it", *words: str) -> Finished:
        flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--model", model]
        command: list[str | Path] = ["node", self._program, "exec", *words, *flags, prompt]
        return run(command, self.folder, self.environment)


@pytest.fixture
def codex(tmp_path: Path, named_gateway: Gateway) -> Codex:
    return Codex(tmp_path, named_gateway)


def freeform(protocol: Protocol, name: str, text: str, namespace: str = "") -> Use:
    """A call of a tool that takes free text, as each protocol's model would make it."""
    if protocol == "responses":
        return Use("call_far_1", name, text, namespace or None)
    return Use("call_far_1", f"{namespace}__{name}" if namespace else name, {"input": text})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_codex_runs_a_tool_and_reports_its_result(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    model = script(upstream, protocol, Turn(text="Let me look.", uses=(COPY,)), Turn(text=ENDING))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert (codex.folder / "copy.txt").read_text() == SECRET + "\n"
    seen = heard(protocol, upstream.last)
    assert seen.calls == {COPY.id: "exec_command"}
    assert SECRET in seen.results[COPY.id]
    assert [call.path for call in upstream.calls] == [PATHS[protocol]] * 2
    assert {call.json()["model"] for call in upstream.calls} == {f"far-{protocol}"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_codex_runs_parallel_calls_one_of_which_fails(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    fail = Use("call_far_2", "exec_command", {"cmd": "echo no such luck; exit 3"})
    model = script(upstream, protocol, Turn(uses=(COPY, fail)), Turn(text=ENDING))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    seen = heard(protocol, upstream.last)
    assert set(seen.calls) == {COPY.id, fail.id}
    assert SECRET in seen.results[COPY.id]
    assert "exited with code 3" in seen.results[fail.id]
    assert "no such luck" in seen.results[fail.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_thinking_comes_back_to_its_upstream_with_the_same_signature(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    first = Turn(thinking=THOUGHT, signature=SIGNATURE, uses=(COPY,))
    model = script(upstream, protocol, first, Turn(text=ENDING))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert heard(protocol, upstream.last).thoughts == [(THOUGHT, SIGNATURE)]


@pytest.mark.parametrize(
    ("before", "after"), [(one, other) for one in PROTOCOLS for other in PROTOCOLS if one != other]
)
def test_a_session_goes_on_with_a_model_that_speaks_another_protocol(
    codex: Codex, upstream: ScriptedUpstream, before: Protocol, after: Protocol
) -> None:
    script(upstream, before, Turn(thinking=THOUGHT, signature=SIGNATURE, uses=(COPY,)), Turn(text=ENDING))
    script(upstream, after, Turn(text="As I said."))

    begun_well = codex.ask(MODELS[before])
    done = codex.ask(MODELS[after], "say it again", "resume", "--last")

    assert begun_well.status == 0, begun_well
    assert (done.status, done.out) == (0, "As I said.\n"), done
    assert upstream.last.path == PATHS[after]
    # Behind a Chat endpoint may be any vendor, as with OpenRouter: it is given all, with its format named.
    if after != "chat":
        assert SIGNATURE not in upstream.last.body.decode(), "a vendor's signature went to another vendor"
    assert SECRET in heard(after, upstream.last).results[COPY.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_freeform_patch_is_applied(codex: Codex, upstream: ScriptedUpstream, protocol: Protocol) -> None:
    use = freeform(protocol, "apply_patch", PATCH)
    script(upstream, protocol, Turn(uses=(use,)), Turn(text=ENDING))

    done = codex.ask(f"{protocol}/gpt-5.5")

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert (codex.folder / "new.txt").read_text() == "hello from a patch\n"
    assert "apply_patch" in offered(protocol, upstream.calls[0])
    seen = heard(protocol, upstream.last)
    assert seen.calls == {use.id: "apply_patch"}
    assert "Success" in seen.results[use.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tools_that_come_as_an_input_item_are_offered_and_run(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    use = freeform(protocol, "exec", JAVASCRIPT, namespace="functions")
    script(upstream, protocol, Turn(uses=(use,)), Turn(text=ENDING))

    done = codex.ask(f"{protocol}/gpt-5.6-luna")

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert (codex.folder / "copy.txt").read_text() == SECRET + "\n"
    if protocol != "responses":
        assert "functions__exec" in offered(protocol, upstream.calls[0])
    seen = heard(protocol, upstream.last)
    assert seen.calls == {use.id: use.name}
    assert SECRET in seen.results[use.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_tool_of_an_mcp_servers_namespace_is_run(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    words = f'args = ["{mcp_server.__file__}", "{codex.folder}"]'
    codex.configure(f'[mcp_servers.notes]\ncommand = "{sys.executable}"\n{words}')
    if protocol == "responses":
        use = Use("call_far_1", "write_note", {"text": "buy bread"}, namespace="mcp__notes")
    else:
        use = Use("call_far_1", "mcp__notes__write_note", {"text": "buy bread"})
    model = script(upstream, protocol, Turn(uses=(use,)), Turn(text=ENDING))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert (codex.folder / "note.txt").read_text() == "buy bread"
    seen = heard(protocol, upstream.last)
    assert seen.calls == {use.id: use.name}
    assert "noted: buy bread" in seen.results[use.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_picture_that_codex_views_reaches_the_upstream(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    picture = codex.folder / "red.png"
    picture.write_bytes(red_picture())
    use = Use("call_far_1", "view_image", {"path": str(picture)})
    model = script(upstream, protocol, Turn(uses=(use,)), Turn(text="It is red."))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, "It is red.\n"), done
    assert b"image/png;base64," in upstream.last.body or b'"media_type":"image/png"' in upstream.last.body
    assert list(heard(protocol, upstream.last).results) == [use.id]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_in_the_middle_of_a_stream_is_tried_again(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    broken = begun(protocol, Turn(text="Half of this will"), then=ERROR_FRAMES[protocol])
    upstream.answers(PATHS[protocol], broken, stream(protocol, Turn(text=ENDING)))

    done = codex.ask(MODELS[protocol])

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert len(upstream.calls) == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_failing_upstream_is_tried_again(
    codex: Codex, upstream: ScriptedUpstream, protocol: Protocol
) -> None:
    status = 529 if protocol == "messages" else 500
    upstream.answers(PATHS[protocol], whole(OVERLOADED, status=status), stream(protocol, Turn(text=ENDING)))

    done = codex.ask(MODELS[protocol])

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert len(upstream.calls) == 2


def test_codex_goes_on_at_once_when_its_websocket_is_declined(
    codex: Codex, upstream: ScriptedUpstream
) -> None:
    codex.configure(websockets=True)
    model = script(upstream, "messages", Turn(text=ENDING))

    done = codex.ask(model)

    assert (done.status, done.out) == (0, ENDING + "\n"), done
    assert "Reconnecting" not in done.err, done


def test_codex_says_that_a_model_does_not_exist(codex: Codex, upstream: ScriptedUpstream) -> None:
    done = codex.ask("no-such-model")

    assert done.status == 1, done
    assert "no-such-model" in done.err.rpartition("ERROR")[2], done
    assert upstream.calls == []
