"""From the candidates to the first answer: try them in order until one begins to answer well.

Nothing has gone to the client while this runs, so a failure here may still go elsewhere.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from msgspec import structs

from modelway.calls import vault
from modelway.calls.beginning import Beginning, is_empty, says, tells
from modelway.calls.call import Call, Services
from modelway.calls.continuation import Rounds, going_on
from modelway.calls.settle import Meter
from modelway.conversation.errors import CallError
from modelway.conversation.events import Event, Failed, Finished, Started, UsageReported, fold, unfold
from modelway.conversation.reply import Reply, Usage
from modelway.conversation.request import Conversation
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
        "upstream_rate_limited",
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

    Either the bytes pass (`watch`) or they are translated (`reader`; `reply` if it came whole). `body` is
    a whole answer, `first` and `events` what a stream has already brought. `conversation` is what was
    asked of the provider, `rounds` follows an answer that may pause or whose reasoning is to be kept.
    `empty` means it ended without a word, `begun` that the client has its first bytes: heartbeats.
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
    conversation: Conversation | None = None
    rounds: Rounds | None = None
    reply: Reply | None = None
    empty: bool = False
    begun: bool = False

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self.upstream.close()

    def heard(self, chunk: bytes) -> list[Event]:
        """The events of a stream's next bytes (b"": the upstream has closed) as the writer gets them."""
        assert self.reader is not None
        events = self.reader.read(chunk) if chunk else self.reader.end()
        if self.rounds is not None:
            events = self.rounds.take(events)
        return self.filtered(events)

    def filtered(self, events: list[Event]) -> list[Event]:
        """`events` after every filter between reader and writer."""
        for each in self.filters:
            events = [out for event in events for out in each.feed(event)]
        return events


async def first_answer(targets: list[Target], request: Request, meter: Meter) -> Answer:
    """The first of `targets` that answers, to be closed; raises the last one's CallError if none does.

    The client of a stream gets heartbeats while it waits; what comes after the first is told inside it.
    """
    if not request.stream:
        return await _first_of(targets, request, meter)
    beginning = Beginning(meter)
    try:
        answer = await _first_of(targets, request, meter)
    except BaseException:
        await beginning.over()
        raise
    try:
        await beginning.over()
    except BaseException:  # the client left while a heartbeat was on its way
        answer.upstream.close()
        raise
    answer.begun = beginning.begun
    return answer


async def _first_of(targets: list[Target], request: Request, meter: Meter) -> Answer:
    last: CallError | None = None
    for target in targets:
        meter.target = target
        try:
            answer = await _try(target, request, meter)
        except CallError as error:
            last = error
            if error.kind.name not in ELSEWHERE:
                raise
            continue
        if answer.empty and target is not targets[-1]:
            answer.upstream.close()
            meter.wasted = _used(answer, request)
            last = CallError.upstream("The provider's answer is empty", code="empty_completion")
            continue
        return answer
    raise last or CallError("unavailable", "No provider is configured for this model")


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
        body = await _translated(answer, request, meter)
    answer.upstream = await _open(target, call, services, body)
    try:
        if answer.upstream.status >= 300:
            raise await refusal(answer.upstream)
        if answer.passes:
            answer.watch = speaks.watch(request.stream, request.model, target.model, request.include_usage)
        if not request.stream:
            await _whole(answer, meter)
            return answer
        if not answer.passes:
            answer.reader = speaks.reader(translation)
        await _first_of_stream(answer, services.timeouts.heartbeat_s)
    except CallError as error:
        answer.upstream.close()
        meter.wasted = _used(answer, request, is_cut_short=error.code == "upstream_truncated")
        raise
    except BaseException:
        answer.upstream.close()
        raise
    return answer


def _used(answer: Answer, request: Request, *, is_cut_short: bool = False) -> Usage | None:
    """What an answer used that nobody will see: its provider asks money for it all the same. One that is cut
    short has cost its prompt at least.
    """
    watch, reported = answer.watch, [answer.watch.usage if answer.watch else None]
    reported.append(answer.reply.usage if answer.reply else None)
    reported += [
        event.usage
        for event in reversed(answer.events)
        if isinstance(event, Started | UsageReported | Finished)
    ]
    for usage in reported:
        if usage is not None:
            return usage
    said = watch.output_tokens_estimate() if watch is not None and request.stream else 0
    if not said and not is_cut_short:
        return None
    return Usage(input_tokens=request.prompt_tokens_estimate(), output_tokens=said, estimated=True)


def _needs_quirk(target: Target, request: Request) -> bool:
    """The local engine needs help with tools; every other request of its protocol may pass."""
    return target.provider.is_local and b'"tool' in request.body


async def _translated(answer: Answer, request: Request, meter: Meter) -> bytes:
    """The request in the upstream's protocol, and the filters its answer will need."""
    translation, serves_vault = answer.translation, vault.serves(answer.translation)
    translation.asked = request.conversation(translation)
    conversation = structs.replace(translation.asked, model=answer.target.model)
    if serves_vault:
        conversation = await vault.restored(conversation, translation, meter.key.account_id, meter.services)
    if answer.target.provider.is_local:
        workaround = tools_as_text(conversation, translation.mint)
        conversation = workaround.conversation
        if workaround.filter is not None:
            answer.filters.append(workaround.filter)
    answer.conversation = conversation
    body = answer.speaks.write_request(conversation, translation)
    if translation.enforced_stops:
        answer.filters.append(StopFilter(translation.enforced_stops))
    # Messages has a pause that the other protocols have no word for.
    pauses = translation.upstream == "messages" and translation.client != "messages"
    if pauses or (serves_vault and conversation.tools):
        answer.rounds = Rounds()
    return body


async def go_on(answer: Answer, meter: Meter) -> None:
    """Send a paused answer back, so that its provider goes on with it: `upstream` and `reader` are new.

    Raises CallError if the provider refuses.
    """
    assert answer.rounds is not None
    assert answer.conversation is not None
    translation, services, ended = answer.translation, meter.services, answer.upstream
    translation.resumes = True
    translation.strict = False  # what was asked has been judged
    body = answer.speaks.write_request(going_on(answer.conversation, answer.rounds.parts), translation)
    answer.rounds.resumed()
    answer.upstream, answer.ended = await _open(answer.target, meter.call, services, body), False
    ended.close()
    if ended.failure is not None:  # the call was broken off while nobody was there to hear it
        raise ended.failure
    if answer.upstream.status >= 300:
        raise await refusal(answer.upstream)
    answer.reader = answer.speaks.reader(translation)


async def _whole(answer: Answer, meter: Meter) -> None:
    """Read a whole answer to its end, and on through its pauses; an error inside it is an error."""
    answer.body = await answer.upstream.read_all()
    if answer.watch is not None:
        answer.empty = not tells(answer.speaks.name, answer.body)
        answer.body = answer.watch.feed(answer.body) + answer.watch.end()
        if answer.watch.error is not None:
            raise answer.watch.error
        return
    reply = answer.speaks.read_reply(answer.body, answer.translation)
    if answer.rounds is not None and reply.stop.reason == "pause":
        reply = await _continued(reply, answer, answer.rounds, meter)
    if answer.filters:
        reply = fold(answer.filtered(list(unfold(reply))))
    answer.reply = reply
    answer.empty = is_empty(unfold(reply))


async def _continued(reply: Reply, answer: Answer, rounds: Rounds, meter: Meter) -> Reply:
    """A reply that paused, with all that follows its pauses."""
    events = rounds.take(list(unfold(reply)))
    while rounds.paused:
        await go_on(answer, meter)
        body = await answer.upstream.read_all()
        events += rounds.take(list(unfold(answer.speaks.read_reply(body, answer.translation))))
    if rounds.cut_short:
        answer.translation.warn("pause_turn", "", "The provider paused too often; more could follow")
    return fold(events)


def _translation(target: Target, request: Request, call: Call, services: Services) -> Translation:
    return Translation(
        client=call.protocol.name,
        upstream=target.provider.protocol,
        model_asked=request.model,
        model_answered=target.model,
        mint=services.mint,
        now_s=call.began_at_ms // 1000,
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


async def _first_of_stream(answer: Answer, heartbeat_s: float) -> None:
    """Read until the stream shows content or a fault: nothing is promised before. What it has brought by
    the first heartbeat goes out with that, though it is no more than a beginning.
    """
    # Mostly it has come with the head: then the 3 µs of a timeout are saved.
    if answer.upstream.has_arrived and await _says_something(answer):
        return
    try:
        async with asyncio.timeout(heartbeat_s):
            await _until_it_says(answer)
    except TimeoutError:
        if not answer.first and not answer.events:
            await _until_it_says(answer)


async def _until_it_says(answer: Answer) -> None:
    while not await _says_something(answer):
        pass


async def _says_something(answer: Answer) -> bool:
    """Whether the stream's next bytes show content, or that it is over."""
    chunk = await answer.upstream.read()
    answer.ended = not chunk
    look = _look_at_events if answer.watch is None else _look_at_bytes
    return look(answer, chunk)


def _look_at_bytes(answer: Answer, chunk: bytes) -> bool:
    """Whether a stream that passes has begun to say something, or is over."""
    watch = answer.watch
    assert watch is not None
    answer.first += watch.feed(chunk) if chunk else watch.end()
    if watch.error is not None:
        raise answer.upstream.failure or watch.error
    if tells(answer.speaks.name, answer.first):
        return True
    answer.empty = watch.complete
    return answer.ended or watch.ended


def _look_at_events(answer: Answer, chunk: bytes) -> bool:
    """The same of a stream that is translated."""
    events = answer.heard(chunk)
    answer.events.extend(events)
    for event in events:
        if isinstance(event, Failed):
            raise answer.upstream.failure or event.error
        if isinstance(event, Finished):
            answer.empty = is_empty(answer.events)
            return True
    paused = answer.rounds is not None and answer.rounds.paused
    return answer.ended or paused or any(map(says, events))
