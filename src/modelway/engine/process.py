"""The local model as the rest of the gateway sees it: an address, ready or a clean 503, and a way to stop.

One child process for all workers that share a data directory; started on first use or at start, watched,
restarted with backoff. The address may be of a child that dies a moment later: the call that meets this
fails as on any provider, and the next one waits for the restart.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

from modelway.conversation.errors import CallError
from modelway.engine.leadership import EngineAddress, Leadership
from modelway.engine.settings import Backoff, EngineSettings
from modelway.engine.spawn import Child

State = Literal["stopped", "starting", "ready", "backoff"]

POLL_S = 0.02  # how often a waiting call looks again; a start takes 25 times as long
RETRY_AFTER_MIN_S = 1.0  # `retry-after` has no smaller unit


class Engine:
    """One per worker process and event loop. `clock` gives monotonic seconds."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._leadership = Leadership(settings.data_dir)
        self._backoff = Backoff()
        self._supervisor: asyncio.Task[None] | None = None
        self._child: Child | None = None
        self._state: State = "stopped"
        self._next_start_at = 0.0
        self._stopping = False
        self.restarts = 0
        """Starts after the first one, by this process."""
        self.failure: str | None = None
        """Why the last start or life ended, for the people who run the gateway; None while ready."""

    @property
    def state(self) -> State:
        """`ready` also when another worker runs it."""
        if not self._leadership.held and self._leadership.published() is not None:
            return "ready"
        return self._state

    async def start(self) -> None:
        """Starts the child without waiting for it, if it is set to start with the gateway."""
        if self._settings.start == "at_start":
            self._current()

    async def address(self) -> EngineAddress:
        """Where to call it, after starting it if need be.

        Waits at most `wait_s`; raises `CallError` unavailable (503) with `retry_after_s` when it is not
        ready by then, or at once when it is known that it will not be.
        """
        deadline = self._clock() + self._settings.wait_s
        while (address := self._current()) is None:
            now = self._clock()
            if now >= deadline or (self._state == "backoff" and self._next_start_at > deadline):
                raise self._unavailable(now)
            await self._sleep(POLL_S)
        return address

    async def stop(self) -> None:
        """Ends the child if this process runs it; after that no call starts it again. Can be called twice."""
        self._stopping = True
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.cancel()
            await asyncio.wait([supervisor])
        self._leadership.release()
        self._state = "stopped"

    def _current(self) -> EngineAddress | None:
        if self._stopping:
            raise CallError("unavailable", "the local model has stopped: the gateway is shutting down")
        if not self._leadership.take():
            return self._leadership.published()
        if self._supervisor is None:
            self._state = "starting"
            self._supervisor = asyncio.create_task(self._supervise(), name="local model")
        if self._child is not None and self._child.alive():
            return self._child.address
        return None

    def _unavailable(self, now: float) -> CallError:
        # The cause may name files of this machine: it goes to the log and `failure`, not to the caller.
        waiting = {"backoff": "it could not be started and is tried again", "starting": "it is starting"}
        why = waiting.get(self._state, "another worker is starting it")
        retry_after_s = max(RETRY_AFTER_MIN_S, self._next_start_at - now)
        return CallError(
            "unavailable", f"the local model is not ready: {why}", retry_after_s=round(retry_after_s, 1)
        )

    async def _supervise(self) -> None:
        try:
            await self._lives()
        finally:
            self._state = "stopped"

    async def _lives(self) -> None:
        while True:
            try:
                lived_s = await self._one_life()
            except Exception as error:  # the edge of a background loop: one bad life must not be the last
                self.failure, lived_s = f"it could not be looked after: {error}", 0.0
            delay_s = self._backoff.after(lived_s)
            self._next_start_at = self._clock() + delay_s
            self._state = "backoff"
            self._settings.log(f"local model: {self.failure}; starting it again in {delay_s:g} s")
            await self._sleep(delay_s)
            self.restarts += 1

    async def _one_life(self) -> float:
        """Starts a child and stays with it to its end. Gives the seconds it was ready for; 0 is never."""
        self._state = "starting"
        try:
            child = await Child.start(self._settings, await self._model_path())
        except Exception as error:  # the edge of a background loop: whatever it was, it is tried again
            self.failure = f"it could not be started: {error}"
            return 0.0
        ready_at = self._clock()
        try:
            self._leadership.publish(child.address, child.pid)
            self._child, self._state, self.failure = child, "ready", None
            self._settings.log(f"local model: ready at {child.address.base_url}")
            self.failure = f"it ended ({await child.ended()})"
        finally:
            self._child = None
            try:
                self._leadership.withdraw()
            finally:
                await child.end(self._settings.stop_timeout_s)
        return self._clock() - ready_at

    async def _model_path(self) -> Path:
        path = self._settings.model_path
        return path if isinstance(path, Path) else await _in_daemon_thread(path)


async def _in_daemon_thread(function: Callable[[], Path]) -> Path:
    """Like `asyncio.to_thread`, but the process can end meanwhile: a download goes on at the next start."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Path] = loop.create_future()

    def settle(result: Path | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as raised:  # handed on, to be raised where it is awaited
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True, name="local model's weights").start()
    return await done
