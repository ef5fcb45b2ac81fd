"""From the candidates to the first answer: try them in order until one begins to answer well.

Nothing has gone to the client while this runs, so a failure here may still go elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec import structs

from modelway.calls.call import Call, Services
from modelway.calls.settle import Meter
from modelway.conversation.errors import CallError
from modelway.conversation.events import Event, Failed, Heartbeat, Started, UsageReported
from modelway.conversation.stops import StopFilter
from modelway.conversation.translation import Translation
from modelway.protocols.failures import read_upstream_error
from modelway.protocols.interface import Request, StreamReader, Watch, WireProtocol
from modelway.providers.credentials import headers_for
from modelway.providers.quirks import EventFilter, tools_as_text
from modelway.providers.registry import Target
from modelway.providers.upstream import ERROR_BYTES_MAX, Upstream

# Failures another target may not share. A caller's own mistake (400) is the same everywhere.
ELSEWHERE = frozenset(
    {
        "upstream",
        "upstream_auth",
        "upstream_overloaded",
        "upstream_timeout",
        "rate_limited",
        "overloaded",
        "unavailable",
        "unknown_model",
        "not_found",
    }
)


@dataclass(slots=True)
class Answer:
    """An upstream that has begun to answer, with what was read to know that.

    Either the bytes pass (`watch`) or they are translated (`reader`). `body` is a whole answer,
    `first` and `events` what a stream has already brought.
    """

    target: Target
    translation: Translation
    speaks: WireProtocol
    upstream: Upstream = field(init=False)
    passes: bool = False
    watch: Watch | None = None
    reader: StreamReader | None = None
    body: bytes = b""
    first: bytes = b""
    events: list[Event] = field(default_factory=list)
    filters: list[EventFilter] = field(default_factory=list)
    ended: bool = False

    def filtered(self, events: list[Event]) -> list[Event]:
        """`events` after every filter between reader and writer."""
        for each in self.filters:
            events = [out for event in events for out in each.feed(event)]
        return events


@asynccontextmanager
async def first_answer(targets: list[Target], request: Request, meter: Meter) -> AsyncIterator[Answer]:
    """The first of `targets` that answers; raises the last one's CallError if none does."""
    last = CallError("unavailable", "No provider is configured for this model")
    for target in targets:
        meter.target = target
        try:
            answer = await _try(target, request, meter)
        except CallError as error:
            last = error
            if error.kind.name not in ELSEWHERE:
                raise
            continue
        try:
            yield answer
        finally:
            answer.upstream.close()
        return
    raise last


async def _try(target: Target, request: Request, meter: Meter) -> Answer:
    """Send the request to one target and read until it is clear that an answer has begun."""
    call, services = meter.call, meter.services
    translation = _translation(target, request, call, services)
    speaks = services.protocols[target.provider.protocol]
    answer = Answer(target, translation, speaks)
    if speaks is call.protocol and request.passable and not _needs_quirk(target, request):
        answer.passes = True
        body = request.passed(target.model, translation)
    else:
        body = _translated(answer, request)
    upstream = answer.upstream = await _open(target, call, services, body)
    try:
        if upstream.status >= 300:
            raise await refusal(upstream)
        if answer.passes:
            answer.watch = speaks.watch(request.stream, request.model, target.model, request.include_usage)
        elif request.stream:
            answer.reader = speaks.reader(translation)
        if request.stream:
            await _first_of_stream(answer, services)
        else:
            answer.body = await upstream.read_all()
    except BaseException:
        upstream.close()
        raise
    return answer


def _needs_quirk(target: Target, request: Request) -> bool:
    """The local engine needs help with tools; every other request of its protocol may pass."""
    return target.provider.is_local and b'"tool' in request.body


def _translated(answer: Answer, request: Request) -> bytes:
    """The request in the upstream's protocol, and the filters its answer will need."""
    translation = answer.translation
    translation.asked = request.conversation(translation)
    conversation = structs.replace(translation.asked, model=answer.target.model)
    if answer.target.provider.is_local:
        workaround = tools_as_text(conversation, translation.mint)
        conversation = workaround.conversation
        if workaround.filter is not None:
            answer.filters.append(workaround.filter)
    body = answer.speaks.write_request(conversation, translation)
    if translation.enforced_stops:
        answer.filters.append(StopFilter(translation.enforced_stops))
    return body


def _translation(target: Target, request: Request, call: Call, services: Services) -> Translation:
    return Translation(
        client=call.protocol.name,
        upstream=target.provider.protocol,
        model_asked=request.model,
        model_answered=target.model,
        mint=services.mint,
        now_s=int(call.began_at_s),
        capabilities=target.capabilities,
        vendor=target.provider.vendor,
        strict=call.strict,
        extensions=call.extensions,
        envelope_secret=services.envelope_secret,
        request_id=call.id,
        reply_id=call.reply_id,
        prompt_tokens_estimate=request.prompt_tokens_estimate() if request.stream else 0,
        warnings=list(call.warnings),
    )


async def _open(target: Target, call: Call, services: Services, body: bytes) -> Upstream:
    url, headers = await _address(target, call, services)
    try:
        return await services.upstreams.open(url, body, headers)
    except CallError as error:
        if not target.provider.is_local or error.code != "upstream_unreachable":
            raise
    # The local engine has just died: its supervisor starts another, and no byte of an answer is lost.
    url, headers = await _address(target, call, services)
    return await services.upstreams.open(url, body, headers)


async def _address(target: Target, call: Call, services: Services) -> tuple[str, dict[str, str]]:
    """Where to send it and with which headers; the local model is started if it has to be."""
    provider = target.provider
    headers = headers_for(provider, call.protocol.name, call.headers)
    if not provider.is_local:
        return provider.url(), headers
    if services.engine is None:
        raise CallError("unavailable", "The local model is switched off here (engine.start is `never`)")
    engine = await services.engine.address()
    headers["authorization"] = f"Bearer {engine.api_key}"
    return f"{engine.base_url}/v1/chat/completions", headers


async def refusal(upstream: Upstream) -> CallError:
    """The upstream's error answer as ours."""
    if upstream.status < 400:
        return CallError.upstream(
            f"The provider answered with a redirect ({upstream.status}); it is not followed"
        )
    body = await upstream.read_all(ERROR_BYTES_MAX)
    return read_upstream_error(upstream.status, body, upstream.headers)


async def _first_of_stream(answer: Answer, services: Services) -> None:
    """Read until the stream shows content or a fault, or a heartbeat is due; nothing is promised before."""
    deadline = services.clock() + services.timeouts.heartbeat_s
    while True:
        try:
            async with asyncio.timeout(max(0.0, deadline - services.clock())):
                chunk = await answer.upstream.read()
        except TimeoutError:
            return
        answer.ended = not chunk
        if answer.watch is not None:
            answer.first = answer.watch.feed(chunk) if chunk else answer.watch.end()
            if answer.watch.error is not None:
                raise answer.upstream.failure or answer.watch.error
            return
        assert answer.reader is not None
        events = answer.reader.read(chunk) if chunk else answer.reader.end()
        events = answer.filtered(events)
        answer.events.extend(events)
        for event in events:
            if isinstance(event, Failed):
                raise answer.upstream.failure or event.error
        if answer.ended or any(not isinstance(e, Started | Heartbeat | UsageReported) for e in events):
            return
