"""The gateway as its users run it: a process of its own, an address, a key. Nothing is imported from it."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bench.servers import gateway_environment
from tests.fix_upstream import ScriptedUpstream

Found = TypeVar("Found")

REPOSITORY = Path(__file__).parent.parent
START_S = 60  # it starts in less than one; a loaded machine and a first migration may take longer
STOP_S = 30  # nothing lives when the fixtures stop it
WAIT_S = 20
POLL_S = 0.02
STARTS_MAX = 3  # another program may take the free port in between
LOG_LINES_SHOWN_MAX = 15  # of a failing test's gateway: the last of it says why

PRINTED_KEY = re.compile(r"sk-mw-[0-9A-Za-z]{38}")

# llama.cpp's threads wait by spinning: two models at once, each on all cores, are twenty times slower.
ENGINE_THREADS = "1"

# What the scripted upstream must see and nobody else may.
UPSTREAM_KEY = "sk-upstream-7Zq3secretcanary"

SCRIPTED_CONFIG = """\
providers:
  - {name: scripted-chat, kind: openai-compatible, base_url: $URL/v1, api_key: $KEY}
  - {name: scripted-messages, kind: anthropic, base_url: $URL, api_key: $KEY}
  - {name: scripted-responses, kind: openai, protocol: responses, base_url: $URL/v1, api_key: $KEY}
  - {name: nobody, kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", api_key: $KEY}
models:
  - {id: chat-model, price: {input: 1.00, output: 2.00},
     targets: [{provider: scripted-chat, model: far-chat}]}
  - {id: messages-model, aliases: [messages-alias],
     targets: [{provider: scripted-messages, model: far-messages}]}
  - {id: responses-model, targets: [{provider: scripted-responses, model: far-responses}]}
  - {id: lab/slashed-model, targets: [{provider: scripted-chat, model: far-chat}]}
  - {id: unreachable-model, targets: [{provider: nobody, model: far-chat}]}
"""


def until(probe: Callable[[], Found | None], what: str, timeout_s: float = WAIT_S) -> Found:
    """The first answer of `probe` that is neither None nor False nor empty; fails saying what never came."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        found = probe()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"within {timeout_s} s never came: {what}")


def filled(config: str, upstream: ScriptedUpstream) -> str:
    return config.replace("$URL", upstream.url).replace("$KEY", UPSTREAM_KEY)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Gateway:
    """One installation: a folder with configuration and data, and the process that serves it."""

    def __init__(
        self, folder: Path, config: str | None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "gateway.log"
        self.out_path = folder / "gateway.out"
        self.api_key = ""
        self.port = 0
        self._config = folder / "modelway.yaml"
        if config is not None:
            self.configure(config)
        ours = {"PYTHONPATH": str(REPOSITORY / "src"), "MODELWAY_ENGINE_THREADS": ENGINE_THREADS}
        self._environment = {**gateway_environment(), **ours, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, config: str) -> None:
        """What the next start reads."""
        self._config.write_text(config)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything the process has written, both outputs."""
        written = (
            path.read_text("utf-8", "replace") for path in (self.out_path, self.log_path) if path.exists()
        )
        return "\n".join(written)

    @property
    def log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-LOG_LINES_SHOWN_MAX:])

    @property
    def database(self) -> Path:
        return self.data_dir / "modelway.db"

    @property
    def database_url(self) -> str:
        return self._environment.get("MODELWAY_DATABASE") or f"sqlite:///{self.database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`modelway WORDS` in this installation's folder, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "modelway.cli", *words],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def manage(self, *words: str) -> str:
        """A command that has to succeed; what it printed."""
        config = ["--config", str(self._config)] if self._config.exists() else []
        done = self.run(*words, "--data-dir", str(self.data_dir), *config)
        assert done.returncode == 0, (
            f"modelway {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def create_key(self, name: str = "test") -> str:
        printed = self.manage("keys", "create", "--name", name)
        assert len(printed.split()) == 1, f"more than the key on standard output: {printed!r}"
        return printed.strip()

    def start(self) -> Gateway:
        """Starts it and waits until it is ready."""
        for _ in range(STARTS_MAX):
            self.launch()
            with contextlib.suppress(AddressTaken):
                until(self.is_ready, "/readyz 200", START_S)
                return self
        raise AssertionError(f"no port could be had:\n{self.log}")

    def start_new(self) -> Gateway:
        """Starts a new installation; its key is the one that it prints, which costs no command of its own."""
        self.start()
        found = until(lambda: PRINTED_KEY.search(self.out_path.read_text()), "the printed key")
        self.api_key = found.group()
        return self

    def launch(self) -> None:
        """Starts it and does not wait."""
        self.port = free_port()
        words = ["serve", "--host", "127.0.0.1", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        words += ["--config", str(self._config)] if self._config.exists() else []
        with self.out_path.open("ab") as out, self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "modelway.cli", *words],
                cwd=self.folder,
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )

    def is_ready(self) -> bool:
        if not self.is_running:
            taken = "address already in use" in self.log.lower()
            raise (
                AddressTaken if taken else AssertionError(f"the gateway ended while it started:\n{self.log}")
            )
        return self.status_of("/readyz") == 200

    def status_of(self, path: str) -> int | None:
        """The status of a GET without a key, None while nobody listens."""
        try:
            with urllib.request.urlopen(self.base_url + path, timeout=WAIT_S) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return None

    def metrics(self) -> str:
        with urllib.request.urlopen(self.base_url + "/metrics", timeout=WAIT_S) as answer:
            text: bytes = answer.read()
            return text.decode()

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """The exit status, once it has ended; a process that will not end is killed and fails the test."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(
                f"the gateway was still there {timeout_s} s after SIGTERM:\n{self.log}"
            ) from None

    def stop(self) -> int:
        if self.is_running:
            self.terminate()
        return self.wait()

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """What the database says, read beside the running gateway."""
        address = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT_S)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def usage_of(self, request_id: str) -> dict[str, Any]:
        """The call's row in `usage`; it may be written a moment after the answer."""
        found = until(
            lambda: self.rows("SELECT * FROM usage WHERE request_id = ?", request_id),
            f"a row of `usage` for {request_id}",
        )
        assert len(found) == 1
        return found[0]


class AddressTaken(Exception):
    """The port was taken between choosing and listening."""


@pytest.fixture(scope="session")
def scripted_gateway(
    tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream
) -> Iterator[Gateway]:
    """The gateway in front of the scripted upstream: chat-model, messages-model, responses-model."""
    yield from _serving(
        Gateway(tmp_path_factory.mktemp("scripted"), filled(SCRIPTED_CONFIG, upstream_server))
    )


@pytest.fixture(scope="session")
def local_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway without any configuration: the real local model, `local/smollm2`."""
    yield from _serving(Gateway(tmp_path_factory.mktemp("local"), None))


def _serving(gateway: Gateway) -> Iterator[Gateway]:
    gateway.api_key = gateway.create_key()  # not printed by the start: its log is searched for secrets
    gateway.start()
    yield gateway
    status = gateway.stop()
    assert status == 0, f"SIGTERM ended the gateway with {status}:\n{gateway.log_tail}"


@pytest.fixture
def gateway(scripted_gateway: Gateway) -> Gateway:
    assert scripted_gateway.is_running, f"the gateway died:\n{scripted_gateway.log}"
    return scripted_gateway


@pytest.fixture
def make_gateway(tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Callable[..., Gateway]]:
    """Makes gateways of a test's own, not yet started; `config=None` for the local model alone."""
    made: list[Gateway] = []

    def make(config: str | None = SCRIPTED_CONFIG, **environment: str) -> Gateway:
        folder = tmp_path / f"gateway-{len(made)}"
        folder.mkdir()
        made.append(Gateway(folder, config and filled(config, upstream), environment))
        return made[-1]

    yield make
    for gateway in made:
        if gateway.is_running:
            assert gateway.stop() == 0, f"SIGTERM did not end it with 0:\n{gateway.log}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test shows the end of its gateway's log."""
    report = yield
    if report.failed:
        gateways = {id(value): value for value in getattr(item, "funcargs", {}).values()}.values()
        for gateway in (value for value in gateways if isinstance(value, Gateway)):
            report.sections.append(("the gateway's log", gateway.log_tail))
    return report
