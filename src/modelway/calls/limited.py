"""A call under rate limits: what it may need is taken before it is sent, what it did not use given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelway.accounts.keys import Key
from modelway.calls.call import Call, Services
from modelway.calls.limit_headers import limit_headers
from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.limits.rules import CONCURRENCY, INPUT_TOKENS, OUTPUT_TOKENS, Costs, Refusal, Rule, Ticket

if TYPE_CHECKING:
    from modelway.calls.settle import Meter

# Taken for an answer whose caller names no maximum: most are shorter, and a longer one is a debt that drains.
OUTPUT_TOKENS_ASSUMED = 4_096


async def take(rules: tuple[Rule, ...], meter: Meter) -> None:
    """Let the call in by every rule, or raise 429 with nothing taken."""
    call, services = meter.call, meter.services
    outcome = await services.limits.admit(rules, costs_of(rules, meter), call.id)
    _tell(outcome, call, services)
    if isinstance(outcome, Refusal):
        raise refused(outcome, meter.key, services)
    meter.ticket = outcome


async def take_count(key: Key, call: Call, services: Services) -> None:
    """The same for a call that only counts tokens."""
    terms = await services.usage_log.terms(key.account_id)
    if rules := services.limits.rules(key, terms.rate_limits):
        outcome = await services.limits.count(rules, call.id)
        _tell(outcome, call, services)
        if isinstance(outcome, Refusal):
            raise refused(outcome, key, services)


def give_back(ticket: Ticket, usage: Usage | None, services: Services) -> None:
    """The call is over: what it did not use is there for others. A call that brought nothing used nothing."""
    used = usage or Usage()
    read = used.input_tokens + (used.cache_write_5m_tokens or 0) + (used.cache_write_1h_tokens or 0)
    services.limits.settle(ticket, (1, read, used.output_tokens, 0))


def costs_of(rules: tuple[Rule, ...], meter: Meter) -> Costs:
    """The most the call may take, as far as it is limited and can be known before."""
    dimensions = {rule.index for rule in rules}
    request = meter.request
    read = request.prompt_tokens_estimate() if INPUT_TOKENS.index in dimensions else 0
    written = 0
    if OUTPUT_TOKENS.index in dimensions:
        longest = [target.capabilities.max_output_tokens for target in meter.model.targets]
        most = max((each for each in longest if each is not None), default=OUTPUT_TOKENS_ASSUMED)
        each = request.max_output_tokens or min(most, OUTPUT_TOKENS_ASSUMED)
        written = each * request.choices
    return 1, read, written, 1


def refused(refusal: Refusal, key: Key, services: Services) -> CallError:
    """429: which limit, its value, and the wait after which the same call passes."""
    rule = refusal.rule
    services.metrics.rate_limited(rule.scope, rule.dimension.setting)
    whose = f"key {key.masked}" if rule.scope == "key" else "account"
    full = " are under way" if rule.dimension is CONCURRENCY else " are used up"
    wait_s = refusal.wait_ms / 1000
    return CallError(
        "rate_limited",
        f"The limit of this {whose} is {rule.limit} {rule.dimension.words}, and they{full}; "
        f"try again in {wait_s:g} s",
        retry_after_s=wait_s,
        details={
            "limit": rule.dimension.setting,
            "scope": rule.scope,
            "value": rule.limit,
            "retry_after_ms": refusal.wait_ms,
        },
    )


def _tell(outcome: Ticket | Refusal, call: Call, services: Services) -> None:
    call.headers_out.extend(limit_headers(call.protocol.name, outcome.states, services.now()))
