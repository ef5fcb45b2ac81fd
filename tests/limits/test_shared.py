"""Several workers on one Valkey, and what they do when it is slow, dead, back, or without its memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

import pytest

from modelway.limits.rules import Refusal, Rule, Ticket
from modelway.limits.shared import LEASE_MS, SharedCounter
from modelway.limits.valkey import Away, ask, connect, parse_address
from tests.fix_valkey import ValkeyServer
from tests.limits.counters import rules_for

pytestmark = pytest.mark.anyio

WORKERS = 3
LIMIT = 30
ONE = (1, 0, 0, 1)
_NUMBERS = count()
PATIENCE_S = 0.5  # ten times the usual: the machine of a test may be busy
BACK_S = 10  # it takes about one second


@pytest.fixture
def valkey(make_valkey: Callable[..., ValkeyServer]) -> ValkeyServer:
    return make_valkey().start()


@pytest.fixture
async def workers(valkey: ValkeyServer) -> AsyncIterator[list[SharedCounter]]:
    """Three workers, each of which has a third of a limit when it is alone."""
    async with AsyncExitStack() as stack:
        yield [await opened(stack, valkey) for _ in range(WORKERS)]


async def opened(stack: AsyncExitStack, valkey: ValkeyServer) -> SharedCounter:
    counter = SharedCounter(
        parse_address(valkey.url),
        lambda: time.monotonic_ns() // 1_000_000,
        lambda limit: limit // WORKERS,
        answer_timeout_s=PATIENCE_S,
    )
    return await stack.enter_async_context(counter)


async def tried(
    workers: list[SharedCounter], rules: tuple[Rule, ...], tries: int, costs: tuple[int, int, int, int] = ONE
) -> list[Ticket]:
    """The tickets of so many calls at once at every worker."""
    calls = [
        counter.admit(rules, costs, f"call_{next(_NUMBERS)}") for _ in range(tries) for counter in workers
    ]
    return [found for found in await asyncio.gather(*calls) if isinstance(found, Ticket)]


async def until(probe: Callable[[], Awaitable[object]], timeout_s: float = BACK_S) -> None:
    """Return when `probe` finds something."""
    async with asyncio.timeout(timeout_s):
        for _ in count():
            if await probe():
                return
            await asyncio.sleep(0.02)


async def until_back(workers: list[SharedCounter]) -> None:
    async def all_back() -> bool:
        return not any(each.is_away for each in workers)

    await until(all_back)


async def test_workers_at_once_never_pass_a_limit_together(workers: list[SharedCounter]) -> None:
    rules = rules_for(requests_per_minute=LIMIT, concurrency=LIMIT)

    assert len(await tried(workers, rules, 100)) == LIMIT


async def test_a_place_is_free_for_every_worker_when_the_call_is_over(workers: list[SharedCounter]) -> None:
    rules = rules_for(concurrency=1)
    first, second, _ = workers
    (ticket,) = await tried([first], rules, 1)
    assert not await tried([second], rules, 1)

    first.settle(ticket, (1, 0, 0, 0))

    await until(lambda: tried([second], rules, 1))


async def test_a_slow_valkey_costs_one_call_its_wait_and_the_next_nothing(
    workers: list[SharedCounter], valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    rules = rules_for(requests_per_minute=LIMIT)
    worker = workers[0]
    valkey.pause()
    try:
        waits = []
        for number in range(20):
            began = time.perf_counter()
            await worker.admit(rules, ONE, f"call_{number}")
            waits.append(time.perf_counter() - began)
    finally:
        valkey.resume()

    assert waits[0] >= PATIENCE_S
    assert sum(waits[1:]) < waits[0]
    assert worker.is_away
    assert [record.message for record in caplog.records if "away" in record.message] == [
        f"Valkey at 127.0.0.1:{valkey.port} is away (no answer within 500 ms): "
        "each worker keeps to its share of every rate limit"
    ]


@pytest.mark.parametrize("failure", ["pause", "kill"])
async def test_while_it_is_away_the_sum_stays_below_the_limit_and_afterwards_too(
    workers: list[SharedCounter], valkey: ValkeyServer, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    rules, began = rules_for(requests_per_minute=600), time.perf_counter()

    def allowed() -> float:
        """A full bucket, and what has drained since."""
        return 600 + 10 * (time.perf_counter() - began)

    passed = 0
    for _ in range(5):
        passed += len(await tried(workers, rules, 50))
    assert 600 <= passed <= allowed()
    getattr(valkey, failure)()
    alone = 0
    for _ in range(8):
        alone += len(await tried(workers, rules, 20))
        await asyncio.sleep(0.1)

    assert alone > 0
    assert passed + alone <= allowed()
    assert all(each.is_away for each in workers)
    if failure == "pause":  # one that was killed has forgotten what it knew
        valkey.resume()
        await until_back(workers)
        passed += alone + len(await tried(workers, rules, 200))
        assert passed <= allowed()
    else:
        valkey.start()
        await until_back(workers)
        assert await tried(workers, rules, 1)
    said = [record.message.split(" (")[0].split(":")[-1].split(" ", 1)[-1] for record in caplog.records]
    assert len(said) == 2 * WORKERS, said


async def test_places_taken_and_left_while_it_was_away_are_right_afterwards(
    workers: list[SharedCounter], valkey: ValkeyServer
) -> None:
    rules, worker = rules_for(concurrency=6), workers[0]
    before = await tried([worker], rules, 1)
    valkey.kill()

    async def is_away() -> bool:  # it hears of the end by itself, without a call
        return worker.is_away

    await until(is_away)
    meanwhile = await tried([worker], rules, 4)
    assert len(meanwhile) == 1  # its share is two places, and one of them was taken before
    for ticket in before:
        worker.settle(ticket, (1, 0, 0, 0))
    meanwhile += await tried([worker], rules, 1)
    assert len(meanwhile) == 2

    valkey.start()
    await until_back(workers)

    assert len(await tried(workers[1:], rules, 10)) == 4


async def test_a_gateway_starts_without_it_and_finds_it_later(
    make_valkey: Callable[..., ValkeyServer],
) -> None:
    valkey = make_valkey()
    async with AsyncExitStack() as stack:
        worker = await opened(stack, valkey)
        assert worker.is_away
        assert isinstance(await worker.admit(rules_for(concurrency=3), ONE, "call_1"), Ticket)

        valkey.start()
        await until_back([worker])

        left = [await worker.admit(rules_for(concurrency=3), ONE, f"call_{n}") for n in range(2, 5)]
        assert [type(each) for each in left] == [Ticket, Ticket, Refusal]


async def test_a_worker_that_dies_holds_its_places_no_longer_than_its_lease(valkey: ValkeyServer) -> None:
    rules = rules_for(concurrency=1)
    async with AsyncExitStack() as dying:
        worker = await opened(dying, valkey)
        await tried([worker], rules, 1)
        direct = await connect(parse_address(valkey.url), lambda _: None, PATIENCE_S)
        left_ms = await ask(direct, b"PTTL", rules[0].bucket.encode())
        direct.close()

        assert isinstance(left_ms, int)
        assert 0 < left_ms <= LEASE_MS


async def test_a_call_that_is_cancelled_while_it_is_let_in_holds_nothing(
    workers: list[SharedCounter], valkey: ValkeyServer
) -> None:
    rules, worker = rules_for(concurrency=1, output_tokens_per_minute=100), workers[0]
    for number in range(20):
        call = asyncio.ensure_future(worker.admit(rules, (1, 0, 100, 1), f"call_{number}"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.sleep(0.1)

    assert isinstance(await worker.admit(rules, (1, 0, 100, 1), "call_last"), Ticket)


async def test_nothing_is_kept_of_a_bucket_that_has_drained(
    workers: list[SharedCounter], valkey: ValkeyServer
) -> None:
    rules = rules_for(requests_per_minute=1200)
    await tried(workers, rules, 1)
    direct = await connect(parse_address(valkey.url), lambda _: None, PATIENCE_S)

    async def is_gone() -> bool:
        return await ask(direct, b"EXISTS", rules[0].bucket.encode()) == 0

    await until(is_gone)
    direct.close()


async def test_it_is_entered_with_its_password_and_never_shows_it(
    make_valkey: Callable[..., ValkeyServer], caplog: pytest.LogCaptureFixture
) -> None:
    valkey = make_valkey("--requirepass", "s3cret-canary").start()
    good = parse_address(f"valkey://default:s3cret-canary@127.0.0.1:{valkey.port}/1")
    connection = await connect(good, lambda _: None, PATIENCE_S)
    assert await ask(connection, b"PING") == b"PONG"
    connection.close()

    with pytest.raises(Away) as refusal:
        await connect(parse_address(f"valkey://:wr0ng-canary@127.0.0.1:{valkey.port}"), lambda _: None)
    assert "canary" not in str(refusal.value)
    stranger = await connect(parse_address(valkey.url), lambda _: None, PATIENCE_S)
    with pytest.raises(Away, match="NOAUTH"):
        await ask(stranger, b"PING")
    stranger.close()
    async with AsyncExitStack() as stack:
        bad = parse_address(f"valkey://:wr0ng-canary@127.0.0.1:{valkey.port}")
        worker = await stack.enter_async_context(SharedCounter(bad, lambda: 0, lambda limit: limit))
        assert worker.is_away
    assert "WRONGPASS" in caplog.text
    assert "canary" not in caplog.text + repr(good) + repr(bad)


async def test_a_full_valkey_counts_as_away(make_valkey: Callable[..., ValkeyServer]) -> None:
    valkey = make_valkey("--maxmemory", "1").start()
    async with AsyncExitStack() as stack:
        worker = await opened(stack, valkey)

        assert worker.is_away
        assert isinstance(await worker.admit(rules_for(concurrency=3), ONE, "call_1"), Ticket)
