"""Starts, pins, watches and stops the servers that a bench compares; it touches no other process."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 60  # the gateway's first start also makes its database
STOP_TIMEOUT_S = 15
POLL_S = 0.002  # also the resolution of the time to /readyz
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
LOG_TAIL_BYTES = 2000


def free_port() -> int:
    """A TCP port on loopback that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    """A running child: its process, its port and its log."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    started_s: float  # time.monotonic() just before it was started

    def pids(self) -> list[int]:
        """The process and everything below it."""
        found = [self.process.pid]
        for pid in found:
            found += children_of(pid)
        return found

    def cpu_s(self) -> float:
        """Processor time used so far by the process and what it started."""
        return sum(cpu_s_of(pid) for pid in self.pids())

    def resident_bytes(self) -> int:
        """Memory held by the process and what it started (RSS; pages that two share count twice)."""
        return sum(resident_bytes_of(pid) for pid in self.pids())


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process, which is the load, on one core while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def children_of(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []


def cpu_s_of(pid: int) -> float:
    try:
        # The command may hold spaces and brackets; the fields after the last bracket are fixed (man 5 proc).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_bytes_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup has no Rss line")


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    folder: Path,
    *,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    ready_path: str | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends; entered once it accepts (and `ready_path` answers 200)."""
    log = folder / f"{name}.log"
    pinned = ["taskset", "--cpu-list", str(core), *command] if core is not None else list(command)
    with log.open("wb") as output:
        started_s = time.monotonic()
        process = subprocess.Popen(pinned, stdout=output, stderr=output, cwd=cwd, env=env)
    server = Server(process, port, log, started_s)
    try:
        wait_until_ready(server, name, ready_path)
        yield server
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_ready(server: Server, name: str, ready_path: str | None) -> None:
    deadline_s = server.started_s + START_TIMEOUT_S
    while not is_ready(server.port, ready_path):
        if server.process.poll() is not None or time.monotonic() > deadline_s:
            tail = server.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
            sys.exit(f"{name} did not start on port {server.port}; the end of its log:\n{tail}")
        time.sleep(POLL_S)


def is_ready(port: int, path: str | None) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
        if path is None:
            return True
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
