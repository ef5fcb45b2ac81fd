"""What a call used, counted while it passes, and the one record made of it when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from modelway.accounts.keys import Key
from modelway.accounts.money import Price, cost_of, version_of
from modelway.calls.call import Call, Client, Services
from modelway.calls.limited import give_back
from modelway.calls.reservation import InUse
from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.limits.rules import Ticket
from modelway.protocols.interface import Request, Watch
from modelway.providers.registry import Model, Target
from modelway.store.entries import Settlement, Tried
from modelway.store.posting import Granted, Opening
from modelway.store.usage import UsageRow

# nginx's word for a client that closed before there was an answer; only rows and logs see it.
CLIENT_CLOSED = 499
# An entry has the id of its call, under its own prefix.
ENTRY_PREFIX = "ent_"


class Meter:
    """One call's meter. `usage` is the provider's own count once it is known; until then the deltas
    that passed are counted, so that a client that hangs up is still accounted for.

    `reservation` is known when the hold is on the disk (or refused); `granted_nano_usd` is what it
    holds, None where nothing limits the call. `wasted` is what the target used whose answer is given up.
    """

    __slots__ = (
        "_reckoned",
        "_target",
        "abandoned",
        "breaks",
        "call",
        "client",
        "complete",
        "deadline",
        "ended",
        "error",
        "first_byte_s",
        "granted_nano_usd",
        "key",
        "model",
        "output_seen",
        "price",
        "request",
        "reservation",
        "services",
        "status",
        "task",
        "ticket",
        "tried",
        "usage",
        "wasted",
        "watch",
    )

    def __init__(
        self, call: Call, key: Key, request: Request, model: Model, client: Client, services: Services
    ) -> None:
        self.call, self.key, self.request, self.model = call, key, request, model
        self.client, self.services = client, services
        self._target: Target | None = None
        self.tried: tuple[Tried, ...] = ()
        self.wasted: Usage | None = None
        self.price: Price | None = model.price  # until `admitted` knows better
        self.reservation: Opening | None = None
        self.granted_nano_usd: int | None = None
        self.ticket: Ticket | None = None  # what it took of its rate limits
        self.ended: CallError | None = None
        self.abandoned = False
        self.breaks: Callable[[CallError], None] | None = None  # how a stream is ended in its own words
        self.deadline: asyncio.TimerHandle | None = None
        task = asyncio.current_task()
        assert task is not None, "a call is served by a task"
        self.task: asyncio.Task[Any] = task
        self.usage: Usage | None = None
        self.watch: Watch | None = None
        self.output_seen = 0
        self.first_byte_s: float | None = None
        self.status = 0
        self.complete = False
        self.error: CallError | None = None
        self._reckoned: tuple[Usage | None, int] = None, 0  # the last usage, and what it cost

    @property
    def attempt_id(self) -> str:
        return self.call.id

    @property
    def price_version(self) -> str | None:
        return None if self.price is None else version_of(self.price)

    @property
    def target(self) -> Target | None:
        """Where the call is now; those it was before are attempts that failed."""
        return self._target

    @target.setter
    def target(self, target: Target) -> None:
        if self._target is not None:
            name, cost = f"{self._target.provider.name}/{self._target.model}", self.cost(self.wasted) or 0
            self.tried, self.wasted = (*self.tried, Tried(name, cost)), None
        self._target = target

    async def ready(self) -> None:
        """Return when the hold is on the disk: nothing of the answer goes out before. Raises CallError."""
        if self.reservation is not None and not isinstance(await self.reservation, Granted):
            raise CallError("no_credit", "The account has got a limit meanwhile, and it is used up")

    def progress(self) -> tuple[int, int, int] | None:
        """Tokens read and written and their cost so far; None while the client has heard nothing."""
        if self.first_byte_s is None:
            return None
        usage = self.spent()
        if usage is None:
            return None
        return usage.prompt_tokens, usage.output_tokens, self.cost(usage) or 0

    def end(self, why: CallError) -> None:
        """Break the call off, from outside its task; its client is told why."""
        if self.complete or self.ended is not None:
            return
        if self.breaks is not None:
            self.breaks(why)
        else:
            self.ended = why
            self.task.cancel()

    def abandon(self) -> None:
        """Break the call off without a word: its client takes nothing any more, and counts as gone."""
        self.abandoned = True
        self.task.cancel()

    def open(self) -> None:
        """From here on the call can be ended from outside, and is when its time is up."""
        total_s = self.services.timeouts.total_s
        self.services.admitted.add(self)
        self.deadline = self.task.get_loop().call_later(total_s, self._expire, total_s)

    def close(self) -> None:
        """Nobody may end the call any more: it is over."""
        self.services.admitted.discard(self)
        if self.deadline is not None:
            self.deadline.cancel()

    def _expire(self, total_s: float) -> None:
        self.end(CallError("upstream_timeout", f"The answer was not whole after {total_s:g} s"))

    @property
    def client_left(self) -> bool:
        return self.abandoned or self.client.gone

    def answered(self, status: int) -> None:
        """The first byte of the answer goes out now."""
        self.status = status
        self.first_byte_s = self.services.clock()

    def failed(self, error: BaseException) -> None:
        """The call ended badly; a client that is gone is its own outcome, not a failure of ours."""
        if isinstance(error, CallError):
            self.error = error
        elif not self.client_left:
            self.error = CallError("internal", "The gateway failed")

    def spent(self) -> Usage | None:
        """Tokens used so far: the provider's count, else an estimate of what passed; None if nothing did."""
        usage = self.usage or (self.watch.usage if self.watch else None)
        if self.complete and usage is not None:
            return usage
        seen = self.watch.output_tokens_estimate() if self.watch else self.output_seen
        if usage is None and not seen and not self.first_byte_s:
            return None
        prompt = usage.input_tokens if usage else self.request.prompt_tokens_estimate()
        known = usage or Usage(input_tokens=prompt)
        return Usage(
            input_tokens=prompt,
            cache_read_tokens=known.cache_read_tokens,
            cache_write_5m_tokens=known.cache_write_5m_tokens,
            cache_write_1h_tokens=known.cache_write_1h_tokens,
            output_tokens=max(seen, known.output_tokens),
            reasoning_tokens=known.reasoning_tokens,
            audio_input_tokens=known.audio_input_tokens,
            audio_output_tokens=known.audio_output_tokens,
            web_searches=known.web_searches,
            estimated=True,
        )

    def cost(self, usage: Usage | None) -> int | None:
        """Nano-USD, or None when the model has no price."""
        if usage is None or self.price is None:
            return None
        if usage is not self._reckoned[0]:
            self._reckoned = usage, cost_of(usage, self.price)
        return self._reckoned[1]


def settle(meter: Meter) -> None:
    """Write the call's record: ledger, metrics, log line. Called exactly once per admitted call."""
    services, call, usage = meter.services, meter.call, meter.spent()
    ended = services.clock()
    outcome = _outcome(meter)
    if meter.ticket is not None:
        give_back(meter.ticket, usage, services)
    if isinstance(meter.error, InUse):
        return  # not the end of it: `once` has an answer for it, or an error, and writes the row
    if meter.error is not None:
        meter.error.recorded = True
    record = _record(meter, usage, outcome, ended)
    _book(meter, record)
    _count(meter, record)
    services.log.write(
        "info" if outcome in {"ok", "client_gone"} else "warning",
        "call",
        request_id=call.id,
        key_id=meter.key.id,
        protocol=call.protocol.name,
        model=meter.model.id,
        provider=record.provider,
        outcome=outcome,
        status=record.status,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        duration_ms=record.duration_ms,
    )


def _book(meter: Meter, record: UsageRow) -> None:
    """Hand the record to the ledger, once it is known whether there is a hold to resolve."""
    reservation, ledger = meter.reservation, meter.services.usage_log
    if reservation is None and meter.error is not None and meter.error.kind.name != "internal":
        return  # refused before anything was set aside: `Refusals` writes as many of these as are worth it
    meter.call.booked = True

    def book() -> None:
        held = reservation is not None and reservation.may_be_held
        ledger.append(record, _settlement(meter, record) if held else None, meter.price)

    if reservation is None:
        book()
    else:  # at once, unless the client left while its hold was being written
        reservation.then(book)


def _settlement(meter: Meter, record: UsageRow) -> Settlement:
    cost = record.cost_nano_usd or 0
    heard = record.output_tokens or record.input_tokens
    kind = "void" if not heard else "estimate" if record.estimated else "charge"
    return Settlement(
        entry_id=ENTRY_PREFIX + meter.call.id.rpartition("_")[2],
        attempt_id=meter.call.id,
        account_id=record.account_id,
        key_id=record.key_id,
        member_id=record.member_id,
        kind=kind,
        cost_nano_usd=cost,
        ended_at_ms=record.started_at_ms + record.duration_ms,
        model=meter.model.id,
        price_version=record.price_version,
        note=None if record.price_version or not heard else "unpriced",
        tried=meter.tried,
    )


def _outcome(meter: Meter) -> str:
    if meter.error is not None:
        return meter.error.kind.name
    if meter.complete:
        return "ok"
    return "client_gone" if meter.client_left else "internal"


def _record(meter: Meter, usage: Usage | None, outcome: str, ended_s: float) -> UsageRow:
    call, target = meter.call, meter.target
    used = usage or Usage()
    error = meter.error
    return UsageRow(
        request_id=call.id,
        account_id=meter.key.account_id,
        key_id=meter.key.id,
        started_at_ms=call.began_at_ms,
        protocol=call.protocol.name,
        model_asked=meter.request.model,
        model_answered=target.model if target else None,
        provider=target.provider.name if target else None,
        upstream_protocol=target.provider.protocol if target else None,
        status=meter.status or (error.status_on(call.protocol.name) if error else CLIENT_CLOSED),
        outcome=outcome,
        error_code=error.code if error else None,
        stream=meter.request.stream,
        input_tokens=used.input_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_5m_tokens=used.cache_write_5m_tokens,
        cache_write_1h_tokens=used.cache_write_1h_tokens,
        output_tokens=used.output_tokens,
        reasoning_tokens=used.reasoning_tokens,
        estimated=used.estimated,
        cost_nano_usd=meter.cost(used),  # nothing used is nothing paid, where a price is known
        first_token_ms=None
        if meter.first_byte_s is None
        else round((meter.first_byte_s - call.began_s) * 1000),
        duration_ms=round((ended_s - call.began_s) * 1000),
        member_id=meter.key.member_id,
        price_version=meter.price_version,
        audio_input_tokens=used.audio_input_tokens,
        audio_output_tokens=used.audio_output_tokens,
        web_searches=used.web_searches,
        model=None if meter.model.id == meter.request.model else meter.model.id,
    )


def _count(meter: Meter, record: UsageRow) -> None:
    metrics, model = meter.services.metrics, meter.model.label
    first = None if meter.first_byte_s is None else meter.first_byte_s - meter.call.began_s
    metrics.call_ended(
        record.protocol, model, record.provider or "", record.outcome, record.duration_ms / 1000, first
    )
    if record.input_tokens:
        metrics.tokens_used(model, "input", record.input_tokens)
    if record.output_tokens:
        metrics.tokens_used(model, "output", record.output_tokens)
    if record.cost_nano_usd:
        metrics.money_spent(model, record.cost_nano_usd)
