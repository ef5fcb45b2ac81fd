"""How much later does the first token come through the gateway than straight from the upstream?

An upstream with 200 ms to the first token; calls to it and to the gateway start in turn, a few at a time. The
upstream's own time is taken out by its clock readings, or its timer would be most of what is seen.
"""

import asyncio

import uvloop

from bench.figures import Figure, Settings, at_most, percentile
from bench.processes import on_core
from bench.servers import gateway, stream_upstream
from bench.streams import CHAT, Answer, Connection, connect

FIRST_MS = 200
CHUNKS = 20
INTERVAL_MS = 5
PAIRS_AT_ONCE = 8
CALL_S = (FIRST_MS + CHUNKS * INTERVAL_MS) / 1000
ROUNDS_SHARE = 9  # this bench runs once, for as long as this many rounds of the others


async def pairs(direct_port: int, our_port: int, key: str, each: int) -> list[tuple[Answer, Answer]]:
    """(direct, through us) of every pair of calls."""
    request = CHAT.request(key)

    async def one(delay_s: float, direct: Connection, ours: Connection) -> list[tuple[Answer, Answer]]:
        await asyncio.sleep(delay_s)
        return [
            (await direct.stream(request, CHAT.terminal), await ours.stream(request, CHAT.terminal))
            for _ in range(each)
        ]

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                one(CALL_S * number / PAIRS_AT_ONCE, await connect(direct_port), await connect(our_port))
            )
            for number in range(PAIRS_AT_ONCE)
        ]
    return [pair for task in tasks for pair in task.result()]


def measure(settings: Settings) -> list[Figure]:
    folder = settings.sub("latency")
    each = max(5, round(ROUNDS_SHARE * settings.seconds / (2 * CALL_S)))
    with (
        stream_upstream(
            folder, settings.load_core, chunks=CHUNKS, interval_ms=INTERVAL_MS, first_ms=FIRST_MS
        ) as up,
        gateway(up.port, folder, settings.server_core) as ours,
        on_core(settings.load_core),
    ):
        uvloop.run(pairs(up.port, ours.port, ours.key, 2))  # fills the connection pools
        answers = uvloop.run(pairs(up.port, ours.port, ours.key, each))
    direct_ms = [direct.added_ms for direct, _ in answers]
    ours_ms = [own.added_ms for _, own in answers]
    return [
        Figure("calls measured", len(answers), ""),
        Figure("direct, beyond the upstream's own time, p50", percentile(direct_ms, 0.5), "ms"),
        Figure("direct, beyond the upstream's own time, p99", percentile(direct_ms, 0.99), "ms"),
        Figure(
            "added by Modelway, p50",
            percentile(ours_ms, 0.5) - percentile(direct_ms, 0.5),
            "ms",
            at_most(1),
        ),
        Figure(
            "added by Modelway, p99",
            percentile(ours_ms, 0.99) - percentile(direct_ms, 0.99),
            "ms",
            at_most(4),
        ),
    ]
