"""The supervisor: no worker outlives it or is forgotten by it, and what cannot start is given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelway import workers
from modelway.workers import Supervisor
from tests.fix_gateway import until

# A worker that says it is there, and then what a worker does until it is told to go.
WORKER = """
import os, sys, time
from modelway.workers import leave_with_the_supervisor
leave_with_the_supervisor()
open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
time.sleep(600)
"""

SUPERVISOR = """
import sys
from modelway.workers import Supervisor
sys.exit(Supervisor([[sys.executable, "-c", sys.argv[1], sys.argv[2]]] * 2).run())
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", SUPERVISOR, WORKER, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as process:
        yield process
        if process.poll() is None:
            process.kill()


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def pids(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def is_gone(pid: int) -> bool:
    """Gone, or dead and not yet collected by whatever parent it has now."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(folder: Path) -> bool:
    return all(is_gone(pid) for pid in pids(folder))


def test_sigterm_ends_every_worker_and_is_no_failure(
    supervisor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    until(lambda: len(pids(tmp_path)) == 2, "two workers")

    supervisor.terminate()

    assert supervisor.wait(60) == 0
    assert all_gone(tmp_path)


def test_workers_leave_with_a_supervisor_that_is_killed(
    supervisor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    until(lambda: len(pids(tmp_path)) == 2, "two workers")

    supervisor.kill()

    until(lambda: all_gone(tmp_path), "the end of both workers")


def test_a_worker_that_dies_is_replaced(supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    until(lambda: len(pids(tmp_path)) == 2, "two workers")

    os.kill(pids(tmp_path)[0], signal.SIGKILL)

    until(lambda: len(pids(tmp_path)) == 3, "a third worker")
    supervisor.terminate()
    assert supervisor.wait(60) == 0
    assert all_gone(tmp_path)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The supervisor installs its own; the tests' own come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def during_start(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[subprocess.Popen[bytes]]]:
    """Has SIGTERM arrive while the n-th process is being started; gives those that were."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def arrange(number: int) -> list[subprocess.Popen[bytes]]:
        def starting(command: list[str], stdin: int) -> subprocess.Popen[bytes]:
            if len(started) + 1 == number:
                os.kill(os.getpid(), signal.SIGTERM)
            started.append(start(command, stdin=stdin))
            return started[-1]

        monkeypatch.setattr(subprocess, "Popen", starting)
        return started

    return arrange


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_signal_during_a_start_reaches_that_worker_too(
    during_start: Callable[[int], list[subprocess.Popen[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(workers, "RESTART_DELAY_FIRST_S", 0)
    started = during_start(number)  # the third replaces the first

    assert Supervisor([["true"], ["sleep", "600"]]).run() == 0

    assert len(started) == number
    assert all(process.poll() is not None for process in started)


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_cannot_start_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "RESTART_DELAY_FIRST_S", 0.01)

    assert Supervisor([["false"], ["sleep", "600"]]).run() == 1

    said = capfd.readouterr().err
    assert said.count("starting another") == workers.EARLY_DEATHS_MAX
    assert "giving up" in said


@pytest.mark.usefixtures("handlers")
def test_workers_that_were_at_work_are_replaced_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RESTART_DELAY_FIRST_S", 0)
    monkeypatch.setattr(workers, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(workers, "HEALTHY_AFTER_S", 0)
    looked = iter(range(10 * workers.EARLY_DEATHS_MAX))
    supervisor = Supervisor([["false"]])
    start = workers._Worker.start

    def counted(worker: workers._Worker) -> None:
        if next(looked) == 2 * workers.EARLY_DEATHS_MAX:
            os.kill(os.getpid(), signal.SIGTERM)
        start(worker)

    monkeypatch.setattr(workers._Worker, "start", counted)

    assert supervisor.run() == 1  # what the last of them ended with

    assert next(looked) == 2 * workers.EARLY_DEATHS_MAX + 1


def test_the_folder_of_a_supervisor_that_was_killed_is_removed_by_a_later_one(tmp_path: Path) -> None:
    stale, live = tmp_path / "workers-stale", tmp_path / "workers-live"
    for folder in (stale, live):
        folder.mkdir()
    os.utime(stale, (0, 0))

    with workers.shared_folder(tmp_path) as folder:
        assert folder.is_dir()
        assert not stale.exists()
        assert live.exists()
    assert not folder.exists()
