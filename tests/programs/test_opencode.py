"""opencode (`opencode run`) through the gateway: each dialect it speaks, on every upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import SCRIPTED_CONFIG, Gateway, filled
from tests.fix_upstream import Received, Scripted, ScriptedUpstream
from tests.programs.answers import PATHS, PROTOCOLS, Protocol, script, stream
from tests.programs.heard import heard
from tests.programs.running import node_package, run
from tests.programs.turns import Turn, Use

SECRET = "the word is xylophone"
ENDING = "It says xylophone."
COPY = Use("call_far_1", "bash", {"command": "cat secret.txt | tee copy.txt", "description": "Copies it"})
PACKAGES = ["@ai-sdk/openai-compatible", "@ai-sdk/anthropic", "@ai-sdk/openai"]


class TitlingUpstream(ScriptedUpstream):
    """Scripted, but the title that opencode wants beside the work, at any time, is made up here."""

    def take(self, received: Received) -> Scripted:
        protocol = next((name for name, path in PATHS.items() if path == received.path), None)
        if protocol is None or received.json().get("tools"):
            return super().take(received)
        return stream(protocol, Turn(text="A title"))


@pytest.fixture(scope="module")
def titling_upstream() -> Iterator[TitlingUpstream]:
    server = TitlingUpstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def titling_gateway(
    tmp_path_factory: pytest.TempPathFactory, titling_upstream: TitlingUpstream
) -> Iterator[Gateway]:
    node_package("opencode-ai", "bin", "opencode.exe")  # skips before anything is started
    gateway = Gateway(tmp_path_factory.mktemp("titling"), filled(SCRIPTED_CONFIG, titling_upstream))
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, f"SIGTERM did not end it with 0:\n{gateway.log_tail}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("package", PACKAGES)
def test_opencode_runs_a_tool_and_reports_its_result(
    tmp_path: Path,
    titling_gateway: Gateway,
    titling_upstream: TitlingUpstream,
    package: str,
    protocol: Protocol,
) -> None:
    titling_upstream.reset()
    model = script(titling_upstream, protocol, Turn(text="Let me look.", uses=(COPY,)), Turn(text=ENDING))
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "secret.txt").write_text(SECRET + "\n")
    (folder / "opencode.json").write_text(json.dumps(config(titling_gateway, package, model)))
    program = node_package("opencode-ai", "bin", "opencode.exe")
    environment = {
        "HOME": str(home),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }

    done = run([program, "run", "--model", f"gateway/{model}", "please do it"], folder, environment)

    assert done.status == 0, done
    assert ENDING in done.out, done
    assert (folder / "copy.txt").read_text() == SECRET + "\n"
    seen = heard(protocol, titling_upstream.last)
    assert seen.calls == {COPY.id: COPY.name}
    assert SECRET in seen.results[COPY.id]


def config(gateway: Gateway, package: str, model: str) -> dict[str, object]:
    options = {"baseURL": gateway.base_url + "/v1", "apiKey": gateway.api_key}
    models = {model: {"name": model, "tool_call": True}}
    provider = {"npm": package, "name": "gateway", "options": options, "models": models}
    allowed = {"bash": "allow", "edit": "allow"}
    return {
        "autoupdate": False,
        "share": "disabled",
        "permission": allowed,
        "provider": {"gateway": provider},
    }
