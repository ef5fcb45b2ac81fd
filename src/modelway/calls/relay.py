"""From the upstream to the client: bytes that pass, or events that are translated, with a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Self

from msgspec import structs

from modelway.accounts.money import format_usd
from modelway.calls import vault
from modelway.calls.attempt import Answer, go_on
from modelway.calls.beginning import EVENT_STREAM
from modelway.calls.call import Client, header_value, taken, unheeded
from modelway.calls.estimate import estimated_usage
from modelway.calls.settle import Meter
from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    ArgumentsAdded,
    Event,
    Failed,
    Finished,
    ReasoningAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.protocols.interface import Watch

JSON = (b"content-type", b"application/json")
FRAME_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
# A silence is noticed at the second tick after it began: within one and a half heartbeats.
TICKS_PER_HEARTBEAT = 2


async def relay(answer: Answer, meter: Meter, client: Client) -> None:
    """Bring the answer to the client in its own protocol and the usage to the meter."""
    if not meter.request.stream:
        await _relay_whole(answer, meter, client)
    elif answer.watch is not None:
        await _relay_bytes(answer, meter, client)
    else:
        await _relay_events(answer, meter, client)


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    translation = answer.translation
    headers = [(b"x-modelway-model", header_value(answer.target.name))]
    if translation.warnings:
        headers.append((b"x-modelway-warnings", header_value(translation.warnings_header)))
    if upstream_id := answer.upstream.headers.get("request-id") or answer.upstream.headers.get(
        "x-request-id"
    ):
        headers.append((b"x-modelway-upstream-id", header_value(upstream_id[:128])))
    return headers


async def _relay_whole(answer: Answer, meter: Meter, client: Client) -> None:
    body, reply = answer.body, answer.reply
    if reply is not None:
        if reply.usage is None:
            reply = structs.replace(reply, usage=estimated_usage(answer, meter.request))
        meter.usage = reply.usage
        body = meter.call.protocol.write_reply(reply, answer.translation)
        if vault.serves(answer.translation):
            await vault.remember(reply.parts, answer.translation, meter)
    elif answer.watch is not None:
        meter.usage = answer.watch.usage
    headers = [JSON, (b"content-length", str(len(body)).encode()), *_headers(answer)]
    meter.usage = meter.usage or estimated_usage(answer, meter.request)
    if meter.usage.estimated:
        headers.append((b"x-modelway-usage", b"estimated"))
    if (cost := meter.cost(meter.usage)) is not None:
        headers.append((b"x-modelway-cost-usd", format_usd(cost).encode()))
    meter.complete = True
    await meter.ready()
    meter.answered(200)
    await client.begin(200, headers)
    await client.end(body)


async def _relay_bytes(answer: Answer, meter: Meter, client: Client) -> None:
    """Same protocol on both sides: what arrives goes out, and the watch looks on."""
    watch, upstream = answer.watch, answer.upstream
    assert watch is not None
    meter.watch = watch
    await meter.ready()
    meter.answered(200)
    if not answer.begun:
        await client.begin(200, EVENT_STREAM + _headers(answer))
    tail = b""
    with Passage(watch, answer, meter, client) as passage:
        if answer.first:
            passage.write(answer.first)
        while True:
            await passage.written()
            if watch.ended:
                break
            if watch.error is not None or not await upstream.forward(passage.take):
                tail = watch.end(upstream.failure, meter.call.id)
                break
    meter.error, meter.usage, meter.complete = watch.error, watch.usage, watch.error is None
    await client.end(tail)
    if meter.complete:
        await upstream.finish()


async def _relay_events(answer: Answer, meter: Meter, client: Client) -> None:
    """Two protocols: each event is written as the client's frames."""
    writer, rounds = meter.call.protocol.writer(answer.translation), answer.rounds
    await meter.ready()
    meter.answered(200)
    if not answer.begun:
        await client.begin(200, EVENT_STREAM + _headers(answer))
    last = b""
    with Pulse(answer, meter, client) as pulse:

        def say(events: list[Event]) -> bytes:
            return b"".join([writer.write(_seen(event, answer, meter)) for event in events])

        def take(chunk: bytes) -> bool:
            nonlocal last
            data = say(answer.heard(chunk))
            if meter.complete or meter.error is not None:
                last = data
                return True
            return (pulse.write(data) if data else False) or (rounds is not None and rounds.paused)

        last = say(answer.events)
        while not meter.complete and meter.error is None:
            if last:
                pulse.write(last)
            await pulse.written()
            last = b""
            if rounds is not None and rounds.paused:
                last = say(await _resumed(answer, meter))
            elif answer.ended or not await answer.upstream.forward(take):
                answer.ended = True
                last = say(answer.heard(b""))
    if rounds is not None and meter.complete and vault.serves(answer.translation):
        await vault.remember(rounds.parts, answer.translation, meter)
    await client.end(last)
    if meter.complete and not answer.ended:
        await answer.upstream.finish()


async def _resumed(answer: Answer, meter: Meter) -> list[Event]:
    """Go on with an answer that paused: nothing new yet, or the failure to go on."""
    try:
        await go_on(answer, meter)
    except CallError as error:
        return [Failed(error)]
    return []


def _seen(event: Event, answer: Answer, meter: Meter) -> Event:
    """Keep the meter's count, and put the connection's own reason in the place of a bare truncation."""
    match event:
        case TextAdded() | ArgumentsAdded() | ReasoningAdded():
            meter.output_seen += 1
        case Started(usage=usage) | UsageReported(usage=usage):
            meter.usage = usage or meter.usage
        case Finished(usage=usage):
            meter.usage = usage or meter.usage
            meter.complete = True
        case Failed(error):
            meter.error = answer.upstream.failure or error
            return Failed(meter.error)
    return event


class Pulse:
    """Watches a stream's silences: a heartbeat for the client, an end for an upstream that stays silent, and
    for a client that takes nothing.

    One timer per call and nothing per chunk: what the client has taken last stands in `_last`, and a tick
    that finds the same as the tick before knows that nothing moved in between.
    """

    __slots__ = (
        "_answer",
        "_beat",
        "_heard",
        "_heard_s",
        "_heartbeat",
        "_last",
        "_loop",
        "_meter",
        "_stuck",
        "_stuck_s",
        "_tick_s",
        "_timeouts",
        "_timer",
        "_told_s",
        "_waiting",
        "_write",
        "_writing",
    )

    def __init__(self, answer: Answer, meter: Meter, client: Client) -> None:
        self._last = b""
        self._answer, self._meter, self._write = answer, meter, client.write
        self._heartbeat = meter.call.protocol.heartbeat
        self._timeouts = meter.services.timeouts
        shortest_s = min(self._timeouts.heartbeat_s, self._timeouts.write_stall_s)
        self._tick_s = shortest_s / TICKS_PER_HEARTBEAT
        self._loop = asyncio.get_running_loop()
        self._heard = self._last
        self._heard_s = self._told_s = self._loop.time()
        self._stuck: object = None
        self._stuck_s = self._heard_s
        self._writing: Awaitable[None] | None = None  # what the client has yet to take
        self._waiting = b""  # these bytes
        self._beat: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        self._meter.breaks = self._abort
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.breaks = None
        if self._timer is not None:
            self._timer.cancel()

    def write(self, data: bytes) -> bool:
        """Write to the client; whether it has to be waited for (`written`) before more is written."""
        writing = self._write(data)
        if writing is None:
            self._last = data
            return False
        self._writing, self._waiting = writing, data
        return True

    async def written(self) -> None:
        """The client has taken what was written."""
        if self._writing is not None:
            await self._writing
            self._writing, self._last = None, self._waiting

    def _abort(self, failure: CallError) -> None:
        self._answer.upstream.abort(failure)

    def _tick(self) -> None:
        now, timeouts = self._loop.time(), self._timeouts
        if self._is_stalled(now):
            self._meter.abandon()
            return
        # While the client is slow to take what is there, the provider is not asked for more.
        if self._last is not self._heard or self._writing is not None:
            self._heard, self._heard_s, self._told_s = self._last, now, now
        limit_s = timeouts.idle_s if self._last else timeouts.first_content_s
        if now - self._heard_s >= limit_s:
            self._abort(CallError("upstream_timeout", f"The provider was silent for {limit_s:g} s"))
            return
        if self._stuck is None and now - self._told_s >= timeouts.heartbeat_s and self._is_between_frames():
            self._told_s = now
            self._beat = asyncio.ensure_future(taken(self._write(self._heartbeat)))
            self._beat.add_done_callback(unheeded)  # a client that left is seen elsewhere
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    def _is_stalled(self, now: float) -> bool:
        """Whether one write has been under way for so long that nobody can be reading."""
        beating = self._beat if self._beat is not None and not self._beat.done() else None
        writing = self._writing if self._writing is not None else beating
        if writing is not self._stuck:
            self._stuck, self._stuck_s = writing, now
        return writing is not None and now - self._stuck_s >= self._timeouts.write_stall_s

    def _is_between_frames(self) -> bool:
        return not self._last or self._last.endswith(FRAME_ENDS)


class Passage(Pulse):
    """The pulse of bytes that pass."""

    __slots__ = ("_watch",)

    def __init__(self, watch: Watch, answer: Answer, meter: Meter, client: Client) -> None:
        super().__init__(answer, meter, client)
        self._watch = watch

    def take(self, chunk: bytes) -> bool:
        """Write on what the provider sent; whether something stands in the way of more."""
        watch = self._watch
        data = watch.feed(chunk)
        return (self.write(data) if data else False) or watch.ended or watch.error is not None
