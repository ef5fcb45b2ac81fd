"""A scripted upstream that streams prepared Chat chunks at a given pace; each chunk is a write of its own.

The first chunk's text carries two clock readings, request seen and chunk written, so that a bench can take
the upstream's own time out of what it measured: `at 123 456 ns` (CLOCK_MONOTONIC, one machine).
"""

import argparse
import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import cast

import uvloop

CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True)
class Script:
    """How an answer is paced: `first_s` until the first chunk, then `chunks` of them, `interval_s` apart."""

    chunks: int
    interval_s: float
    first_s: float


def frame(data: bytes) -> bytes:
    """One SSE event as one HTTP chunk."""
    event = b"data: " + data + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1750000000, "model": "m"}
    return frame(json.dumps({**body, "choices": [choice], "usage": None}, separators=(",", ":")).encode())


WORD = chunk({"content": " word"})
USAGE = frame(
    json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1750000000,
            "model": "m",
            "choices": [],
            "usage": {"prompt_tokens": 23, "completion_tokens": 300, "total_tokens": 323},
        },
        separators=(",", ":"),
    ).encode()
)
END = chunk({}, "stop") + USAGE + frame(b"[DONE]") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection: reads requests, answers each with the script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.loop = asyncio.get_running_loop()
        self.received = b""
        self.left = 0
        self.seen_ns = 0
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one by its methods, not by its class
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if not blank or len(body) < (int(length[1]) if length else 0):
            return
        self.seen_ns = time.monotonic_ns()
        self.received = b""
        self.left = self.script.chunks
        self.timer = self.loop.call_later(self.script.first_s, self.write_first)

    def write_first(self) -> None:
        stamp = f"at {self.seen_ns} {time.monotonic_ns()} ns"
        self.transport.write(HEAD + chunk({"role": "assistant", "content": stamp}))
        self.timer = self.loop.call_later(self.script.interval_s, self.write_next)

    def write_next(self) -> None:
        self.left -= 1
        if self.left <= 0:
            self.transport.write(END)
            return
        self.transport.write(WORD)
        self.timer = self.loop.call_later(self.script.interval_s, self.write_next)


async def serve(port: int, script: Script) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(script), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=300)
    parser.add_argument("--interval-ms", type=float, default=10)
    parser.add_argument("--first-ms", type=float, default=0)
    options = parser.parse_args()
    script = Script(options.chunks, options.interval_ms / 1000, options.first_ms / 1000)
    uvloop.run(serve(options.port, script))


if __name__ == "__main__":
    main()
