"""The one fake, at the wire: an HTTP server that answers as the test scripts it, byte for byte.

It speaks HTTP/1.1 by hand, so that a test decides every chunk, pause, cut and reset, and it notes when
the other side went away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = Path(__file__).parent / "recordings"

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COUNT_TOKENS = "/v1/messages/count_tokens"

WAIT_S = 20  # for what happens within milliseconds; long enough for a machine with other work
REQUEST_BYTES_MAX = 64 * 1024 * 1024  # twice what the gateway lets through

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, as one chunk."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing more until the test says `resume()`; without it this is an upstream that hangs."""


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection here, the answer unfinished."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Like `Cut`, with a TCP reset."""


Step = Send | Hold | Wait | Cut | Reset


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer. `length` is the content-length to announce; None sends chunks."""

    steps: tuple[Step, ...]
    status: int = 200
    headers: Headers = (("content-type", "application/json"),)
    length: int | None = None

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(
            "transfer-encoding: chunked" if self.length is None else f"content-length: {self.length}"
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(eq=False)
class Received:
    """A request as it came. `left_s` is when the other side closed, None while it is still there."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    arrived_s: float
    connection: int = 0
    """Counts connections, to see which were used again."""
    left_s: float | None = None
    answered: bool = False
    left_early: bool = False
    steps: int = 0
    """How many of its answer's are done."""
    _left: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        return json.loads(self.body)

    def wait_until_left(self, within_s: float = WAIT_S) -> float:
        """When the other side closed the connection, on the clock of `time.monotonic`."""
        assert self._left.wait(within_s), f"{self.path}: the upstream was not let go within {within_s} s"
        assert self.left_s is not None
        return self.left_s


def recording(name: str) -> bytes:
    """A file under tests/recordings."""
    return (RECORDINGS / name).read_bytes()


def frames(stream: bytes) -> list[bytes]:
    """An event stream as its frames, each with its blank line."""
    return [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame.strip()]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def whole(body: bytes, *, status: int = 200, headers: Headers = (), delay_s: float = 0) -> Scripted:
    """A body with its content-length, and this many seconds of silence before it."""
    waiting: tuple[Step, ...] = (Wait(delay_s),) if delay_s else ()
    head = (("content-type", "application/json"), *headers)
    return Scripted((*waiting, Send(body)), status=status, headers=head, length=len(body))


def silence(body: bytes = b"{}") -> Scripted:
    """Not even a status line, until `resume()`; then `body`."""
    return Scripted((Hold(), Send(body)), length=len(body))


def streamed(
    stream: bytes,
    *,
    every_bytes: int | None = None,
    pause_after: int | None = None,
    cut_after_bytes: int | None = None,
    reset_after: int | None = None,
    drip_s: float | None = None,
    headers: Headers = (),
) -> Scripted:
    """An event stream, one chunk per frame or per `every_bytes`; counts are chunks unless named bytes.

    `pause_after` holds until `resume()`; `cut_after_bytes` closes in the middle; `reset_after` resets;
    `drip_s` waits between chunks.
    """
    sent = stream if cut_after_bytes is None else stream[:cut_after_bytes]
    parts = pieces(sent, every_bytes) if every_bytes else frames(sent)
    if cut_after_bytes is not None and not every_bytes:
        parts = [sent] if sent else []
    steps: list[Step] = []
    for count, part in enumerate(parts, start=1):
        steps.append(Send(part))
        steps += [Wait(drip_s)] if drip_s else []
        steps += [Hold()] if count == pause_after else []
        steps += [Reset()] if count == reset_after else []
    if cut_after_bytes is not None:
        steps.append(Cut())
    return Scripted(tuple(steps), headers=(("content-type", "text/event-stream"), *headers))


class _Connection(asyncio.Protocol):
    """One connection of the scripted server: requests in, steps out, and the moment the peer leaves."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._number = upstream.next_connection()
        self._buffer = b""
        self._current: Received | None = None
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        assert len(self._buffer) <= REQUEST_BYTES_MAX
        if self._answering is None or self._answering.done():
            self._take_request()

    def eof_received(self) -> bool:
        self._peer_left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_left()
        self._writable.set()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _peer_left(self) -> None:
        received = self._current
        if received is not None and received.left_s is None:
            received.left_s = time.monotonic()
            received.left_early = not received.answered
            received._left.set()

    def _take_request(self) -> None:
        parsed = _parse(self._buffer)
        if parsed is None:
            return
        received, self._buffer = parsed
        received.connection = self._number
        self._current = received
        scripted = self._upstream.take(received)
        self._answering = asyncio.get_running_loop().create_task(self._answer(scripted, received))

    async def _answer(self, scripted: Scripted, received: Received) -> None:
        head = scripted.head()
        for step in scripted.steps:
            match step:
                case Send(data):
                    framed = b"%x\r\n%b\r\n" % (len(data), data) if scripted.length is None else data
                    self._transport.write(head + framed)
                    head = b""
                    await self._writable.wait()
                case Hold():
                    if head and scripted.length is None:
                        self._transport.write(head)
                        head = b""
                    await self._upstream.resumed()
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Cut():
                    self._transport.close()
                    return
                case Reset():
                    self._reset()
                    return
            received.steps += 1
        self._transport.write(head + (b"0\r\n\r\n" if scripted.length is None else b""))
        received.answered = True
        self._take_request()

    def _reset(self) -> None:
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _parse(buffer: bytes) -> tuple[Received, bytes] | None:
    """The first whole request of the buffer and what follows it; None while it is not all there."""
    head, blank, rest = buffer.partition(b"\r\n\r\n")
    if not blank:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        unchunked = _unchunk(rest)
        if unchunked is None:
            return None
        body, rest = unchunked
    else:
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        body, rest = rest[:length], rest[length:]
    return Received(method, path, headers, body, time.monotonic()), rest


def _unchunk(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size_line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        size = int(size_line.split(b";")[0], 16)
        if len(data) < size + 2:
            return None
        body, data = body + data[:size], data[size + 2 :]
        if size == 0:
            return body, data


class ScriptedUpstream:
    """What a test scripts and what it then asks: `answers`, `resume`, `calls`."""

    def __init__(self) -> None:
        self.calls: list[Received] = []
        self._scripts: dict[str, deque[Scripted]] = {}
        self._connections = 0
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._go = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-upstream", daemon=True)
        self._listening: list[socket.socket] = []
        ready = threading.Event()
        self._ready: Callable[[], None] = ready.set
        self._thread.start()
        assert ready.wait(WAIT_S)
        self.port: int = self._listening[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def answers(self, path: str, *scripted: Scripted) -> None:
        """These answers in turn; the last one stays."""
        self._scripts[path] = deque(scripted)

    def resume(self) -> None:
        """Lets every answer that holds go on."""
        self._loop.call_soon_threadsafe(self._go.set)

    def reset(self) -> None:
        """Forgets scripts and calls; answers that still hold are let go."""
        done = threading.Event()

        def let_go() -> None:
            self._go.set()
            self._go = asyncio.Event()
            done.set()

        self._loop.call_soon_threadsafe(let_go)
        assert done.wait(WAIT_S)
        self._scripts.clear()
        self.calls = []

    def wait_for_calls(self, count: int) -> list[Received]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.calls) >= count, WAIT_S), (
                f"the upstream was called {len(self.calls)} times, not {count}"
            )
        return self.calls

    @property
    def last(self) -> Received:
        assert self.calls, "the upstream was never called"
        return self.calls[-1]

    def take(self, received: Received) -> Scripted:
        """The next answer for this request (the server's side)."""
        with self._arrived:
            self.calls.append(received)
            self._arrived.notify_all()
        script = self._scripts.get(received.path)
        if not script:
            body = json.dumps({"error": {"message": f"nothing scripted for {received.path}"}}).encode()
            return whole(body, status=404)
        return script[0] if len(script) == 1 else script.popleft()

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    async def resumed(self) -> None:
        await self._go.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        )
        self._listening.extend(server.sockets)
        self._ready()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[ScriptedUpstream]:
    server = ScriptedUpstream()
    yield server
    server.close()


@pytest.fixture
def upstream(upstream_server: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The scripted upstream, with nothing scripted and no calls yet."""
    upstream_server.reset()
    yield upstream_server
    upstream_server.reset()
