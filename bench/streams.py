"""A streaming client that costs little: raw HTTP/1.1, one answer after another on each connection."""

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import cast

from bench.servers import MODEL

LAST_BYTES = 1024  # enough for the last events of a stream, where its terminal marker stands
STREAM_TIMEOUT_S = 60
END = b"0\r\n\r\n"  # the empty chunk that ends an HTTP/1.1 body
STAMP = re.compile(rb"at (\d+) (\d+) ns")  # see bench/upstream.py


@dataclass(frozen=True)
class Dialect:
    """A path, its body and what the last event of a whole answer contains."""

    path: str
    body: dict[str, object]
    terminal: bytes
    headers: str = ""

    def request(self, key: str) -> bytes:
        body = json.dumps(self.body).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{self.headers}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


MESSAGES = [{"role": "user", "content": "Tell me about foxes and dogs."}]
CHAT = Dialect(
    "/v1/chat/completions",
    {"model": MODEL, "messages": MESSAGES, "max_tokens": 512, "stream": True},
    terminal=b"data: [DONE]",
)
MESSAGES_API = Dialect(
    "/v1/messages",
    {"model": MODEL, "messages": MESSAGES, "max_tokens": 512, "stream": True},
    terminal=b"message_stop",
    headers="anthropic-version: 2023-06-01\r\n",
)


@dataclass(frozen=True)
class Answer:
    """When a stream began and what it cost the upstream, in nanoseconds since the request was written."""

    first_content_ns: int
    upstream_ns: int  # of them spent inside the upstream, by its own clock readings
    total_bytes: int

    @property
    def added_ms(self) -> float:
        """Time to the first content that the upstream did not take."""
        return (self.first_content_ns - self.upstream_ns) / 1e6


class Connection(asyncio.Protocol):
    """One keep-alive connection; `stream` sends a request and waits for the whole answer."""

    def __init__(self) -> None:
        self.tail = b""
        self.total_bytes = 0
        self.sent_ns = 0
        self.stamp: tuple[int, int, int] | None = (
            None  # content seen here, request seen there, content sent there
        )
        self.finished: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one by its methods, not by its class
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.finished is not None and not self.finished.done():
            self.finished.set_exception(ConnectionError(f"closed inside an answer: {self.tail!r}"))

    def data_received(self, data: bytes) -> None:
        self.total_bytes += len(data)
        heard = self.tail + data  # much may come at once
        if self.stamp is None and (found := STAMP.search(heard)):
            self.stamp = (time.monotonic_ns(), int(found[1]), int(found[2]))
        self.tail = heard[-LAST_BYTES:]
        if self.tail.endswith(END) and self.finished is not None and not self.finished.done():
            self.finished.set_result(None)

    def forget(self) -> None:
        self.tail, self.total_bytes, self.stamp = b"", 0, None

    async def stream(self, request: bytes, terminal: bytes) -> Answer:
        self.forget()
        self.finished = asyncio.get_running_loop().create_future()
        self.sent_ns = time.monotonic_ns()
        self.transport.write(request)
        async with asyncio.timeout(STREAM_TIMEOUT_S):
            await self.finished
        if terminal not in self.tail or self.stamp is None:
            raise RuntimeError(f"not a whole answer; its end: {self.tail!r}")
        seen_ns, received_ns, wrote_ns = self.stamp
        return Answer(seen_ns - self.sent_ns, wrote_ns - received_ns, self.total_bytes)


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def run_streams(port: int, request: bytes, terminal: bytes, connections: int, each: int) -> int:
    """Run `each` streams one after another on every connection; how many there were."""

    async def one() -> None:
        connection = await connect(port)
        for _ in range(each):
            await connection.stream(request, terminal)
        connection.transport.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return connections * each
