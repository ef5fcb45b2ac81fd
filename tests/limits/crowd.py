"""Processes that want more than one limit gives, all at once: what they get together.

Run by itself it is one of them: it tries for so many seconds, and prints when it was let in.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import uvloop

from modelway.accounts.rates import RateLimits
from modelway.limits.rules import Ticket, rules_of
from modelway.limits.shared import SharedCounter
from modelway.limits.valkey import ANSWER_TIMEOUT_S, parse_address
from tests.fix_gateway import REPOSITORY

LIMIT = 600  # a minute: ten a second, after six hundred at once
CALLS_AT_ONCE = 20
JUMP_MS = 2 * 60 * 60 * 1000
JUMP_EVERY_MS = 100
END_S = 60


@dataclass(frozen=True)
class Crowd:
    """How many calls were let in, how many may have been at most, how many at least if nothing froze."""

    let_in: int
    most: int
    least: int


def crowd(
    url: str, processes: int, seconds: float, *, jumps: bool, meanwhile: Callable[[], None] = lambda: None
) -> Crowd:
    """`meanwhile` is called while they try."""
    words = [sys.executable, "-m", __name__, url, str(processes), str(seconds), str(int(jumps))]
    running = [
        subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, env={"PYTHONPATH": "src:."})
        for _ in range(processes)
    ]
    meanwhile()
    moments: list[float] = []
    for process in running:
        out, _ = process.communicate(timeout=END_S)
        assert process.returncode == 0
        moments += json.loads(out)
    moments.sort()
    drained = (moments[-1] - moments[0]) * LIMIT / 60
    return Crowd(len(moments), LIMIT + int(drained) + 1, LIMIT + int(drained * 0.9) - 1)


async def one(url: str, processes: int, seconds: float, *, jumps: bool) -> list[float]:
    """When this process was let in."""

    def now_ms() -> int:
        now = time.monotonic_ns() // 1_000_000
        if not jumps:
            return now
        return now + (JUMP_MS if now // JUMP_EVERY_MS % 2 else -JUMP_MS)

    rules, numbers, moments = rules_of("key_1", "acct_1", RateLimits(LIMIT), None), count(), list[float]()
    ends_s = time.monotonic() + seconds
    counter = SharedCounter(
        parse_address(url),
        now_ms,
        lambda limit: limit // processes,
        # Where clocks are the question, a busy machine is none.
        answer_timeout_s=END_S if jumps else ANSWER_TIMEOUT_S,
    )
    async with counter:

        async def caller() -> None:
            while time.monotonic() < ends_s:
                if isinstance(await counter.admit(rules, (1, 0, 0, 0), f"call_{next(numbers)}"), Ticket):
                    moments.append(time.monotonic())
                await asyncio.sleep(0.002)

        await asyncio.gather(*(caller() for _ in range(CALLS_AT_ONCE)))
    return moments


if __name__ == "__main__":
    url, processes, seconds, jumps = sys.argv[1:]
    print(json.dumps(uvloop.run(one(url, int(processes), float(seconds), jumps=jumps == "1"))))
