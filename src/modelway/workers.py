"""Several workers under one supervisor: started, started again when they die, ended together.

A worker's standard input is a pipe that only the supervisor holds open: when that ends, however it ends,
the worker drains and leaves, and the port is free. What never enters here: what a worker does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_EVERY_S = 0.1  # a signal is passed on, and a death noticed, at most this late
RESTART_DELAY_FIRST_S = 1.0  # at once would burn a core on a start that is broken
RESTART_DELAY_MAX_S = 30.0
HEALTHY_AFTER_S = 10.0  # a start takes one second, and one that waits in vain for a database about five
# Early deaths in a row, with no worker healthy meanwhile: at growing delays, 15 s of trying. Whoever started
# us then hears of it, instead of a port on which nobody ever answers.
EARLY_DEATHS_MAX = 5
FOLDER_PREFIX = "workers-"
FOLDER_STALE_S = 3600  # live workers write into theirs every second


def leave_with_the_supervisor() -> None:
    """In a worker: SIGTERM to itself when the supervisor is gone."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="modelway-supervisor", daemon=True).start()


@contextmanager
def shared_folder(data_dir: Path) -> Iterator[Path]:
    """A folder for the files of one supervisor's workers; gone at its end, or at a later start."""
    for left in data_dir.glob(f"{FOLDER_PREFIX}*"):  # by a supervisor that was killed
        with suppress(OSError):  # another start was quicker
            if time.time() - left.stat().st_mtime > FOLDER_STALE_S:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(
        prefix=FOLDER_PREFIX, dir=data_dir, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


class _Worker:
    """One place among the workers, and the process that fills it now."""

    def __init__(self, command: list[str], lifeline: int) -> None:
        self._command, self._lifeline = command, lifeline
        self._began_s = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at_s = 0.0

    def start(self) -> None:
        self._began_s = time.monotonic()
        self.process = subprocess.Popen(self._command, stdin=self._lifeline)

    @property
    def is_healthy(self) -> bool:
        """Whether it has lived, or did live, long enough to have been at work."""
        return self.process is not None and time.monotonic() - self._began_s >= HEALTHY_AFTER_S


class Supervisor:
    """`Supervisor(commands).run()` gives the exit code. Commands: one worker each."""

    def __init__(self, commands: list[list[str]]) -> None:
        # Nothing is ever written to it; not inherited, so that its end is the end of this process.
        lifeline, self._held = os.pipe()
        self._workers = [_Worker(command, lifeline) for command in commands]
        self._early_deaths = 0
        self._stopping = False

    def run(self) -> int:
        """Until SIGTERM or SIGINT: 0 when every worker then ended well. 1 when none can be started."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            if self._early_deaths >= EARLY_DEATHS_MAX and not any(
                worker.process is not None and worker.is_healthy for worker in self._workers
            ):
                _say(
                    f"workers ended {self._early_deaths} times in a row within {HEALTHY_AFTER_S:g} s of "
                    "their start; giving up. Their own last lines, above, say why"
                )
                self._end()
                return 1
            for worker in self._workers:
                if not self._stopping:  # looked at again before each start: a signal may come at any time
                    self._look_after(worker)
            time.sleep(LOOK_EVERY_S)
        return self._end()

    def _stop(self, number: int, frame: object) -> None:
        # Only noted: a process that is being started this very moment is not known yet.
        self._stopping = True

    def _look_after(self, worker: _Worker) -> None:
        process, now_s = worker.process, time.monotonic()
        if process is None:
            if now_s >= worker.start_at_s:
                worker.start()
            return
        if process.poll() is None:
            if worker.is_healthy:
                self._early_deaths = 0
            return
        self._early_deaths = 0 if worker.is_healthy else self._early_deaths + 1
        delay_s = min(RESTART_DELAY_FIRST_S * 2 ** max(self._early_deaths - 1, 0), RESTART_DELAY_MAX_S)
        worker.process, worker.start_at_s = None, now_s + delay_s
        _say(f"worker {process.pid} ended with {process.returncode}; starting another in {delay_s:g} s")

    def _end(self) -> int:
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        return max((_exit_code(process.wait()) for process in processes), default=0)


def _exit_code(returncode: int) -> int:
    """As a shell has it; SIGTERM, which ends a worker that was still starting, is what we asked for."""
    if returncode == -signal.SIGTERM:
        return 0
    return 128 - returncode if returncode < 0 else returncode


def _say(line: str) -> None:
    print(f"modelway: {line}", file=sys.stderr, flush=True)


def supervise(arguments: list[str], count: int, data_dir: Path, option: str) -> int:
    """Run `count` workers of this program with `arguments`, each told its own file's name with `option`."""
    with shared_folder(data_dir) as folder:
        program = [sys.executable, "-m", "modelway.cli", *arguments]
        return Supervisor([[*program, option, str(folder / str(number))] for number in range(count)]).run()
