"""The parent's side of the child process: start it, wait until it can be called, see it end, end it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from pathlib import Path
from typing import TypeVar

from modelway.engine.leadership import EngineAddress
from modelway.engine.settings import EngineSettings

Result = TypeVar("Result")
CHILD_PROGRAM = Path(__file__).with_name("child.py")
LOG_TAIL_LINES = 5  # of what the child said last: enough to name the cause, short enough for one log line
LINE_CHARS_MAX = 500  # of one line of it; a model file can put anything there
ASSERTION = "GGML_ASSERT("  # ggml writes "file:line: GGML_ASSERT(expression) failed" before it aborts
REAP_TIMEOUT_S = 5  # from the end of the child's output to its exit status; the kernel takes milliseconds

# The child runs native code that needs none of our secrets, so it gets only what finds files and cores.
PASSED_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
)
PASSED_PREFIXES = ("GGML_", "OMP_", "CUDA_", "HIP_", "VK_")


class ChildFailed(Exception):
    """The child did not get as far as answering; the message holds its own words."""


class Child:
    """One running child that has answered once."""

    def __init__(self, process: Process, address: EngineAddress, drain: asyncio.Task[None]) -> None:
        self._process = process
        self._drain = drain
        self.address = address

    @classmethod
    async def start(cls, settings: EngineSettings, model_path: Path) -> Child:
        """Spawns and waits until it answers. Leaves no process behind when it fails or is cancelled."""
        api_key = secrets.token_urlsafe(32)
        process = await _spawn_whole()
        tail: deque[str] = deque(maxlen=LOG_TAIL_LINES)
        answered = asyncio.Event()
        drain = asyncio.create_task(_pass_on(process, settings, tail, answered))
        try:
            async with asyncio.timeout(settings.start_timeout_s):
                port = await _first_answer(process, _instructions(settings, model_path, api_key))
            answered.set()
        except BaseException as error:  # cancelled included: whoever opened closes
            await _end(process, drain, timeout_s=0)
            if isinstance(error, TimeoutError):
                raise ChildFailed(f"it was not ready within {settings.start_timeout_s:g} s") from error
            if isinstance(error, ChildFailed):
                # llama.cpp logs in a thread of its own, whose last lines may be lost: here the file is named.
                raise ChildFailed(f"{error} ({'; '.join((f'model {model_path}', *tail))})") from error
            raise
        return cls(process, EngineAddress(f"http://127.0.0.1:{port}", api_key), drain)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Asks the kernel: the event loop may not have heard of a death yet. Does not collect the status."""
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options) is None
        except ChildProcessError:  # already collected
            return False

    async def ended(self) -> str:
        """Waits for its end and says how it came."""
        await _to_end(self._process.stdout)  # it says nothing after its first line: their end is its end
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAP_TIMEOUT_S):
                await self._process.wait()
        return _how(self._process.returncode)

    async def end(self, timeout_s: float) -> None:
        """Asks it to leave, kills it when it does not; returns when it is gone. Can be called twice."""
        await _end(self._process, self._drain, timeout_s)


async def _spawn_whole() -> Process:
    """Spawns; cancelled meanwhile, it ends what it spawned: cut in half, it would leave what nobody knows."""
    spawning = asyncio.create_task(_spawn())
    try:
        return await _through(spawning)
    except asyncio.CancelledError:
        process = spawning.result()
        await _end(process, asyncio.create_task(_to_end(process.stderr)), timeout_s=0)
        raise


async def _spawn() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # our directory stays off its path: child.py is a program there, not part of the package
        str(CHILD_PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={
            name: value
            for name, value in os.environ.items()
            if name in PASSED_VARIABLES or name.startswith(PASSED_PREFIXES)
        },
        start_new_session=True,  # a Ctrl-C at the terminal is the gateway's to handle
    )


def _instructions(settings: EngineSettings, model_path: Path, api_key: str) -> bytes:
    facts = {
        "parent_pid": os.getpid(),
        "model_path": str(model_path.absolute()),
        "model_alias": settings.model_alias,
        "api_key": api_key,
        "threads": settings.threads,
        "context_tokens": settings.context_tokens,
        "slots": settings.slots,
        "gpu_layers": settings.gpu_layers,
        "prompt_cache_mib": settings.prompt_cache_mib,
    }
    return json.dumps(facts).encode() + b"\n"


async def _first_answer(process: Process, instructions: bytes) -> int:
    assert process.stdin is not None, "it was spawned with a pipe"
    assert process.stdout is not None, "it was spawned with a pipe"
    with contextlib.suppress(ConnectionError):  # it is gone already; its output and status say why
        process.stdin.write(instructions)
        await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise ChildFailed(f"it ended before it answered: {_how(await process.wait())}")
    answer = json.loads(line)
    if "port" not in answer:
        raise ChildFailed(str(answer.get("error", answer)))
    return int(answer["port"])


async def _pass_on(
    process: Process, settings: EngineSettings, tail: deque[str], answered: asyncio.Event
) -> None:
    """Reads what the child says on standard error, so that its pipe never fills, into the log.

    Once it answers calls, its warnings quote them (a pattern in a caller's JSON schema, for one), and a
    log never holds what callers wrote: from then on only failed assertions pass, which quote C++.
    """
    assert process.stderr is not None, "it was spawned with a pipe"
    rest = b""
    while chunk := await process.stderr.read(4096):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-LINE_CHARS_MAX:]
        for line in lines:
            text = line.decode(errors="replace").strip()[:LINE_CHARS_MAX]
            if text and (not answered.is_set() or ASSERTION in text):
                tail.append(text)
                settings.log(f"local model: {text}")


async def _end(process: Process, drain: asyncio.Task[None], timeout_s: float) -> None:
    """Ask it to leave, kill it when it does not; however often cancelled meanwhile, go on to the end.

    In a task of its own: before Python 3.11.3 `asyncio.timeout` raises no TimeoutError in one that is being
    cancelled (https://github.com/python/cpython/issues/102780), as the supervisor mostly is here.
    """
    await _through(asyncio.create_task(_end_whole(process, drain, timeout_s)))


async def _through(task: asyncio.Task[Result]) -> Result:
    """What comes of `task`. However often cancelled meanwhile, it waits for that, and is cancelled then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


async def _end_whole(process: Process, drain: asyncio.Task[None], timeout_s: float) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        if process.returncode is None:
            async with asyncio.timeout(timeout_s):
                await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    finally:
        # Read to their ends, both pipes close their transports with the process; a loop that ends before
        # that would complain of them.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAP_TIMEOUT_S):
                await asyncio.gather(drain, _to_end(process.stdout))


async def _to_end(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(4096):
        pass


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "unknown"
    if returncode < 0:
        try:
            return f"killed by {signal.Signals(-returncode).name}"
        except ValueError:  # real-time signals have numbers, but no names
            return f"killed by signal {-returncode}"
    return f"exit status {returncode}"
