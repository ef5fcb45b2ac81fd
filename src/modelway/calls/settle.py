"""What a call used, counted while it passes, and the one record made of it when it ends."""

from __future__ import annotations

from modelway.accounts.keys import Key
from modelway.accounts.money import cost_of
from modelway.calls.call import Call, Client, Services
from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.protocols.interface import Request, Watch
from modelway.providers.registry import Model, Target
from modelway.store.usage import UsageRow

# nginx's word for a client that closed before there was an answer; only rows and logs see it.
CLIENT_CLOSED = 499
MODEL_CHARACTERS_MAX = 256


class Meter:
    """One call's meter. `usage` is the provider's own count once it is known; until then the deltas
    that passed are counted, so that a client that hangs up is still accounted for.
    """

    __slots__ = (
        "call",
        "client",
        "complete",
        "error",
        "first_byte_s",
        "key",
        "model",
        "outcome",
        "output_seen",
        "request",
        "services",
        "status",
        "target",
        "usage",
        "watch",
    )

    def __init__(
        self, call: Call, key: Key, request: Request, model: Model, client: Client, services: Services
    ) -> None:
        self.call, self.key, self.request, self.model = call, key, request, model
        self.client, self.services = client, services
        self.target: Target | None = None
        self.usage: Usage | None = None
        self.watch: Watch | None = None
        self.output_seen = 0
        self.first_byte_s: float | None = None
        self.status = 0
        self.complete = False
        self.error: CallError | None = None
        self.outcome = "ok"

    def answered(self, status: int) -> None:
        """The first byte of the answer goes out now."""
        self.status = status
        self.first_byte_s = self.services.clock()

    def failed(self, error: BaseException) -> None:
        """The call ended badly; a client that is gone is its own outcome, not a failure of ours."""
        if isinstance(error, CallError):
            self.error = error
        elif not self.client.gone:
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
            estimated=True,
        )

    def cost(self, usage: Usage | None) -> int | None:
        """Nano-USD, or None when the model has no price."""
        if usage is None or self.model.price is None:
            return None
        return cost_of(usage, self.model.price)


def settle(meter: Meter) -> None:
    """Write the call's record: database row, metrics, log line. Called exactly once per admitted call."""
    services, call, usage = meter.services, meter.call, meter.spent()
    ended = services.clock()
    outcome = _outcome(meter)
    record = _record(meter, usage, outcome, ended)
    services.usage_log.append(record)
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


def _outcome(meter: Meter) -> str:
    if meter.error is not None:
        return meter.error.kind.name
    if meter.complete:
        return "ok"
    return "client_gone" if meter.client.gone else "internal"


def _record(meter: Meter, usage: Usage | None, outcome: str, ended_s: float) -> UsageRow:
    call, target = meter.call, meter.target
    used = usage or Usage()
    error = meter.error
    return UsageRow(
        request_id=call.id,
        account_id=meter.key.account_id,
        key_id=meter.key.id,
        started_at_ms=round(call.began_at_s * 1000),
        protocol=call.protocol.name,
        model_asked=meter.request.model[:MODEL_CHARACTERS_MAX],
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
        cost_nano_usd=meter.cost(usage),
        first_token_ms=None
        if meter.first_byte_s is None
        else round((meter.first_byte_s - call.began_s) * 1000),
        duration_ms=round((ended_s - call.began_s) * 1000),
    )


def _count(meter: Meter, record: UsageRow) -> None:
    metrics, model = meter.services.metrics, meter.model.id
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
