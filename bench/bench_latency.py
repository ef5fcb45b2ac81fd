"""How much later does the first token come through the gateway than straight from the upstream?

An upstream with 200 ms to the first token; calls to it and to the gateway start in turn, a few at a time. The
upstream's own time is taken out by its clock readings, or its timer would be most of what is seen. The goals
are held against a few calls at once; the last two figures are of many.
"""

import asyncio

import uvloop

from bench.figures import Figure, Goal, Settings, at_most, percentile
from bench.processes import on_core
from bench.servers import gateway, stream_upstream
from bench.streams import CHAT, Answer, Connection, connect

FIRST_MS = 200
CHUNKS = 20
INTERVAL_MS = 5
PAIRS_AT_ONCE = 8
MANY_PAIRS_AT_ONCE = 32
CALL_S = (FIRST_MS + CHUNKS * INTERVAL_MS) / 1000
ROUNDS_SHARE = 9  # this bench runs once, for as long as this many rounds of the others


async def pairs(
    direct_port: int, our_port: int, key: str, each: int, at_once: int = PAIRS_AT_ONCE
) -> list[tuple[Answer, Answer]]:
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
                one(CALL_S * number / at_once, await connect(direct_port), await connect(our_port))
            )
            for number in range(at_once)
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
        uvloop.run(pairs(up.port, ours.port, ours.key, 2, MANY_PAIRS_AT_ONCE))  # fills the connection pools
        few = uvloop.run(pairs(up.port, ours.port, ours.key, each))
        fewer_each = max(2, each * PAIRS_AT_ONCE // MANY_PAIRS_AT_ONCE)
        many = uvloop.run(pairs(up.port, ours.port, ours.key, fewer_each, MANY_PAIRS_AT_ONCE))
    direct_ms = [direct.added_ms for direct, _ in few]
    return [
        Figure("calls measured", len(few), ""),
        Figure("direct, beyond the upstream's own time, p50", percentile(direct_ms, 0.5), "ms"),
        Figure("direct, beyond the upstream's own time, p99", percentile(direct_ms, 0.99), "ms"),
        _added("added by Modelway, p50", few, 0.5, at_most(1)),
        _added("added by Modelway, p99", few, 0.99, at_most(4)),
        _added(f"added with {MANY_PAIRS_AT_ONCE} calls at once, p50", many, 0.5),
        _added(f"added with {MANY_PAIRS_AT_ONCE} calls at once, p99", many, 0.99),
    ]


def _added(name: str, answers: list[tuple[Answer, Answer]], share: float, goal: Goal | None = None) -> Figure:
    direct = percentile([direct.added_ms for direct, _ in answers], share)
    through = percentile([ours.added_ms for _, ours in answers], share)
    return Figure(name, through - direct, "ms", goal)
