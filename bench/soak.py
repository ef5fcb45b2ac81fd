"""Minutes of streams and hang-ups against one gateway, then SIGTERM while streams are live.

Fails when a whole stream did not arrive, when memory kept growing, or when the gateway did not let its live
streams finish and leave with 0. The clock decides how long; nothing here asserts a duration.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench.run import SCRATCH, cores
from bench.servers import Gateway, gateway, stream_upstream
from bench.streams import CHAT, MESSAGES_API, Dialect, connect

STAYING = 24  # clients that read every stream to its end, half of them through translation
LEAVING = 8  # clients that hang up somewhere inside
CHUNKS = 100
INTERVAL_MS = 10
STREAM_S = CHUNKS * INTERVAL_MS / 1000
SAMPLE_S = 5.0
GROWTH_MAX = 1.10  # last quarter ÷ second quarter; the first fills caches and pools
SEED = 20


@dataclass
class Record:
    """What happened so far."""

    finished: int = 0
    left: int = 0
    failures: list[str] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)


async def stay(ours: Gateway, dialect: Dialect, until_s: float, record: Record) -> None:
    """Read stream after stream to its end."""
    request = dialect.request(ours.key)
    connection = await connect(ours.port)
    while time.monotonic() < until_s:
        try:
            await connection.stream(request, dialect.terminal)
            record.finished += 1
        except (OSError, RuntimeError, TimeoutError) as failed:
            record.failures.append(f"{dialect.path}: {failed}")
            connection = await connect(ours.port)
    connection.transport.close()


async def leave(ours: Gateway, until_s: float, record: Record, chance: random.Random) -> None:
    """Begin stream after stream and hang up inside each."""
    while time.monotonic() < until_s:
        connection = await connect(ours.port)
        connection.transport.write(CHAT.request(ours.key))
        await asyncio.sleep(chance.uniform(0, STREAM_S * 0.8))
        connection.transport.abort()
        record.left += 1


async def watch(ours: Gateway, until_s: float, record: Record) -> None:
    while time.monotonic() < until_s:
        record.resident_bytes.append(ours.server.resident_bytes())
        await asyncio.sleep(SAMPLE_S)


async def load(ours: Gateway, minutes: float, record: Record) -> None:
    until_s = time.monotonic() + 60 * minutes
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(ours, until_s, record))
        for number in range(STAYING):
            group.create_task(stay(ours, (CHAT, MESSAGES_API)[number % 2], until_s, record))
        for number in range(LEAVING):
            group.create_task(leave(ours, until_s, record, random.Random(SEED + number)))


async def drain(ours: Gateway, record: Record) -> None:
    """SIGTERM in the middle of live streams: they finish."""
    connections = [await connect(ours.port) for _ in range(STAYING)]
    request = CHAT.request(ours.key)
    streams = [asyncio.create_task(c.stream(request, CHAT.terminal)) for c in connections]
    await asyncio.sleep(STREAM_S / 4)
    ours.server.process.send_signal(signal.SIGTERM)
    for result in await asyncio.gather(*streams, return_exceptions=True):
        if isinstance(result, BaseException):
            record.failures.append(f"cut by SIGTERM: {result}")
    for connection in connections:
        connection.transport.close()


def growth(samples: list[int]) -> float:
    """Memory in the last quarter of the run ÷ in its second quarter."""
    quarter = max(1, len(samples) // 4)
    early = samples[quarter : 2 * quarter] or samples
    late = samples[-quarter:]
    return (sum(late) / len(late)) / (sum(early) / len(early))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    record = Record()
    server_core, load_core = cores()
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=SCRATCH) as scratch,
        stream_upstream(
            Path(scratch), load_core, chunks=CHUNKS, interval_ms=INTERVAL_MS, first_ms=50
        ) as upstream,
        gateway(upstream.port, Path(scratch), server_core) as ours,
    ):
        uvloop.run(load(ours, options.minutes, record))
        uvloop.run(drain(ours, record))
        exit_code = ours.server.process.wait(timeout=70)  # 60 s for live streams, and some to close
    if exit_code:
        record.failures.append(f"the gateway left with {exit_code} after SIGTERM")
    if growth(record.resident_bytes) > GROWTH_MAX:
        record.failures.append(f"memory grew by {100 * (growth(record.resident_bytes) - 1):.0f} %")
    print(
        f"{record.finished} streams finished, {record.left} left, "
        f"memory {record.resident_bytes[0] / 1e6:.0f} -> {record.resident_bytes[-1] / 1e6:.0f} MB"
    )
    if record.failures:
        sys.exit(f"{len(record.failures)} failures, the first ones:\n" + "\n".join(record.failures[:10]))


if __name__ == "__main__":
    main()
