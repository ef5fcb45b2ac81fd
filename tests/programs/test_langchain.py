"""LangChain's standard suite for chat models, in the three dialects it speaks, on every upstream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import SCRIPTED_CONFIG, Gateway, filled
from tests.programs.answers import MODELS
from tests.programs.obedient import ObedientUpstream
from tests.programs.running import frameworks_python, run

SUITE = Path(__file__).parent / "langchain_suite.py"
SUITE_S = 600  # it takes thirty, and imports ten more
PASSED_MIN = 3 * 120  # of 450; it skips what needs the network: pictures, documents and sound
# Its tests of asynchronous calls share clients, so they must share the loop; ours are none of its business.
WAYS = ["-q", "-rfE", "--tb=short", "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider"]
LOOP = ["asyncio_mode=auto", "asyncio_default_test_loop_scope=session"]


@pytest.fixture(scope="module")
def obedient_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    frameworks_python()  # skips before anything is started
    upstream = ObedientUpstream()
    gateway = Gateway(tmp_path_factory.mktemp("obedient"), filled(SCRIPTED_CONFIG, upstream))
    gateway.start_new()
    yield gateway
    assert gateway.stop() == 0, f"SIGTERM did not end it with 0:\n{gateway.log_tail}"
    upstream.close()


def test_langchains_standard_suite_passes(tmp_path: Path, obedient_gateway: Gateway) -> None:
    environment = {
        "HOME": str(tmp_path),
        "LANGSMITH_TRACING": "false",
        "MODELWAY_URL": obedient_gateway.base_url,
        "MODELWAY_KEY": obedient_gateway.api_key,
        "MODELWAY_MODELS": " ".join(MODELS.values()),
    }
    options = [word for setting in LOOP for word in ("-o", setting)]
    python = frameworks_python()
    command: list[str | Path] = [python, "-m", "pytest", *WAYS, *options, "-c", "/dev/null", SUITE]

    done = run(command, tmp_path, environment, timeout_s=SUITE_S)

    assert done.status == 0, done
    passed = re.search(r"(\d+) passed", done.out)
    assert passed is not None
    assert int(passed[1]) >= PASSED_MIN, done
