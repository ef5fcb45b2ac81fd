"""Which connection a call goes over: used again, let go, or replaced when the provider had left it."""

from __future__ import annotations

import asyncio

import pytest

from modelway.conversation.errors import CallError
from modelway.providers import upstream as upstream_module
from tests.providers.raw_provider import (
    JSON,
    OK,
    WAIT_S,
    Line,
    Provider,
    a_client,
    answering,
    ask,
    ask_once,
    run,
)

CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n"
CLOSING = OK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}"


def test_a_connection_is_used_again_the_last_one_first() -> None:
    numbers: list[int] = []
    two_are_open = asyncio.Event()

    async def handler(line: Line) -> None:
        while await line.request():
            numbers.append(line.number)
            if len(numbers) == 2:
                two_are_open.set()
            await two_are_open.wait()
            await line.send(JSON)

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            both = [asyncio.create_task(ask(client, provider.url)) for _ in range(2)]
            await asyncio.gather(*both)
            for _ in range(3):
                await ask(client, provider.url)
            assert provider.connections == 2
            assert len(set(numbers[2:])) == 1

    run(work())


def test_an_unread_answer_that_is_whole_leaves_its_connection_to_others() -> None:
    async def work() -> None:
        async with Provider(answering(JSON)) as provider, a_client() as client:
            unread = await client.open(provider.url, b"", {})
            assert await ask(client, provider.url) == b"{}"
            assert provider.connections == 1
            assert await unread.read_all() == b"{}"

    run(work())


@pytest.mark.parametrize("answer", [CLOSING, JSON + b"extra", b"HTTP/1.0" + JSON[8:]])
def test_a_connection_that_is_not_fit_for_another_call_is_not_used_again(answer: bytes) -> None:
    async def work() -> None:
        async with Provider(answering(answer)) as provider, a_client() as client:
            for count in (1, 2):
                assert await ask(client, provider.url) == b"{}"
                assert provider.connections == count

    run(work())


def test_a_connection_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "IDLE_S_MAX", 0.05)
    gone = asyncio.Event()

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(JSON)
        await line.left()
        gone.set()

    async def work() -> None:
        async with Provider(handler) as provider, a_client(silence_timeout_s=1) as client:
            await ask(client, provider.url)
            async with asyncio.timeout(WAIT_S):
                await gone.wait()

    run(work())


def test_beyond_the_most_connections_an_idle_one_goes_and_then_a_call_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_module, "CONNECTIONS_MAX", 2)

    async def never_ends(line: Line) -> None:
        await line.request()
        await line.send(CHUNKS)
        await line.left()

    async def work() -> None:
        async with Provider(answering(JSON)) as other, Provider(never_ends) as provider, a_client() as client:
            await ask(client, other.url)
            first = await client.open(provider.url, b"", {})
            second = await client.open(provider.url, b"", {})
            with pytest.raises(CallError) as caught:
                await client.open(provider.url, b"", {})
            assert caught.value.kind.name == "overloaded"
            first.close()
            await asyncio.sleep(0)  # its socket closes in the loop's next round
            third = await client.open(provider.url, b"", {})
            second.close()
            third.close()

    run(work())


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_kept_connection_the_provider_has_left_costs_one_repeat(is_reset: bool) -> None:
    """The provider takes the second request on a kept connection to its grave."""
    asked: list[int] = []

    async def handler(line: Line) -> None:
        while request := await line.request():
            asked.append(line.number)
            if line.number == 1 and asked.count(1) == 2:
                if is_reset:
                    line.reset()
                return
            assert request.endswith(b"body")
            await line.send(JSON)

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            for _ in range(2):
                assert await ask(client, provider.url, b"body") == b"{}"
        assert asked == [1, 1, 2]

    run(work())


def test_a_fresh_connection_that_is_dropped_is_never_asked_again() -> None:
    asked: list[int] = []

    async def handler(line: Line) -> None:
        await line.request()
        asked.append(line.number)

    with pytest.raises(CallError) as caught:
        run(ask_once(handler))

    assert caught.value.code == "upstream_unreachable"
    assert asked == [1]


def test_a_kept_connection_that_breaks_after_a_byte_is_never_asked_again() -> None:
    asked: list[int] = []

    async def handler(line: Line) -> None:
        while await line.request():
            asked.append(line.number)
            await line.send(JSON if len(asked) == 1 else b"H")
            if len(asked) == 2:
                return

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            await ask(client, provider.url)
            with pytest.raises(CallError) as caught:
                await ask(client, provider.url)
            assert caught.value.code == "upstream_truncated"
        assert asked == [1, 1]

    run(work())


def test_an_answer_before_the_question_is_sent_counts_and_ends_the_connection() -> None:
    refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}"

    async def handler(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(refused)
        await asyncio.sleep(WAIT_S)  # and reads no more

    async def work() -> None:
        async with Provider(handler) as provider, a_client() as client:
            upstream = await client.open(provider.url, b"x" * 30_000_000, {})
            assert upstream.status == 413
            assert await upstream.read_all() == b"{}"
            assert not client._idle

    run(work())
