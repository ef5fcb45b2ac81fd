"""Who may call, and the reservation around the call: opened before the upstream, settled exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from modelway.accounts.keys import Key, is_alive, may_call, may_use
from modelway.calls import limited
from modelway.calls.call import Call, Client, Services
from modelway.calls.reservation import InUse, amounts_of, granted, hold_of, price_of
from modelway.calls.settle import Meter, settle
from modelway.conversation.errors import CallError
from modelway.protocols.interface import Request
from modelway.store.connections import unavailable

__all__ = ["InUse", "admitted", "authenticate", "presented_key"]

BEARER = "bearer "


def presented_key(call: Call) -> str:
    """The key from `Authorization: Bearer` or `x-api-key`; raises 401 for none or two that differ."""
    header = call.headers.get("authorization", "")
    bearer = header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER else ""
    x_api_key = call.headers.get("x-api-key", "").strip()
    if header and not bearer and not x_api_key:
        raise CallError("unauthenticated", "The Authorization header must read `Bearer <key>`")
    if bearer and x_api_key and bearer != x_api_key:
        raise CallError(
            "unauthenticated",
            "Authorization and x-api-key carry different keys; send one, or the same in both",
        )
    if not bearer and not x_api_key:
        raise CallError(
            "unauthenticated", "No API key: send `Authorization: Bearer <key>` or `x-api-key: <key>`"
        )
    return bearer or x_api_key


async def authenticate(
    call: Call, services: Services, check: Callable[[Key, str, str], None] = may_call
) -> Key:
    """The key behind the call. Unknown, revoked and expired keys all get the same 401; `check` says whether
    this one may be used here (kind, path, address). Its time is the call's beginning, which was a moment ago:
    a key is looked up before the body has come. `may_use` asks the clock again before anything is spent.
    """
    presented = presented_key(call)
    key = await services.keys.find(presented)
    if key is None or not is_alive(key, call.began_at_ms):
        raise CallError("unauthenticated", "This API key is not valid here")
    call.key = key
    check(key, call.path, call.address)
    return key


def admitted(key: Key, request: Request, call: Call, client: Client, services: Services) -> Admission:
    """`async with`: the call counts as live inside, and is recorded once, whatever ends it. Raises CallError
    for one that may not be made, from here or on entering.
    """
    call.asked = request
    if services.draining:
        raise CallError("overloaded", "This gateway is shutting down; try again", retry_after_s=1)
    if len(services.admitted) >= services.concurrency_max:
        message = f"This gateway carries {len(services.admitted)} calls already; try again"
        raise CallError("overloaded", message, retry_after_s=1)
    model = services.registry.find(request.model)
    may_use(key, model.id, round(services.now() * 1000))
    return Admission(Meter(call, key, request, model, client, services))


class Admission:
    """A class and no generator: `asynccontextmanager` costs every call five times as much."""

    __slots__ = ("_meter",)

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def __aenter__(self) -> Meter:
        meter = self._meter
        meter.open()
        try:
            await _reserve(meter)
        except BaseException as error:
            self._end(error)
            raise
        meter.services.usage_log.live[meter.call.id] = meter
        return meter

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Record the call. Raises why it was broken off, if it was us who cancelled its task."""
        meter, why = self._meter, None
        if isinstance(error, asyncio.CancelledError) and not meter.abandoned:
            why = meter.ended  # not the server, nor the client
        if error is not None:
            meter.failed(why or error)
        meter.services.usage_log.live.pop(meter.call.id, None)
        meter.close()
        settle(meter)
        if why is not None:
            meter.task.uncancel()
            raise why from None


async def _reserve(meter: Meter) -> None:
    """Set aside what the call may cost. Nothing is sent that an account with a limit cannot pay for."""
    services, key = meter.services, meter.key
    ledger = services.usage_log
    if ledger.is_full:
        raise unavailable()
    terms = await ledger.terms(key.account_id)
    if rules := services.limits.rules(key, terms.rate_limits):
        await limited.take(rules, meter)
    caps = terms.caps(key, meter.model.id, round(services.now() * 1000))
    is_limited = terms.limit_nano_usd is not None or bool(caps)
    price = meter.price = price_of(meter, terms, limited=is_limited)
    amounts = () if price is None else amounts_of(meter, price)
    hold = hold_of(meter, amounts[0] if amounts else 0, limited=is_limited)
    claim = ledger.wanted.pop(meter.call.id, None)
    if not is_limited and claim is None and ledger.is_joined and not services.database.is_failing:
        meter.reservation = ledger.reserve(hold)  # written while the provider is asked: `Meter.ready`
        return
    if not is_limited:  # or nothing can be written just now, and no provider is asked in vain
        meter.reservation = ledger.reserve(hold, claim=claim)
    else:
        meter.reservation = ledger.reserve(hold, amounts=amounts, caps=caps, claim=claim)
    outcome = await meter.reservation
    amount = await granted(meter, outcome, terms, caps)
    meter.granted_nano_usd = amount if is_limited else None
