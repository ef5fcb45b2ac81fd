"""A gateway whose model names other programs know, so that they use the tools they have for those."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fix_gateway import SCRIPTED_CONFIG, Gateway, filled
from tests.fix_upstream import ScriptedUpstream
from tests.programs.answers import PROTOCOLS

# gpt-5.5: a freeform apply_patch. gpt-5.6-luna: every tool inside an `additional_tools` item.
KNOWN_TO_CODEX = ("gpt-5.5", "gpt-5.6-luna")
LINE = "  - {{id: {0}/{1}, targets: [{{provider: scripted-{0}, model: far-{0}}}]}}\n"
NAMED_MODELS = "".join(LINE.format(protocol, name) for protocol in PROTOCOLS for name in KNOWN_TO_CODEX)


@pytest.fixture(scope="session")
def named_gateway(
    tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream
) -> Iterator[Gateway]:
    """chat/gpt-5.5, messages/gpt-5.5 and so on: the protocol is the upstream's; and the usual models."""
    folder = tmp_path_factory.mktemp("named")
    gateway = Gateway(folder, filled(SCRIPTED_CONFIG + NAMED_MODELS, upstream_server))
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, f"SIGTERM did not end it with 0:\n{gateway.log_tail}"
