"""Money before a call: how much is set aside, by which limits it is measured, and what a refusal says.

Where nothing limits, the hold only says that the call is under way; where something does, it is the most
the call can cost, and nothing is sent to a provider before it is on the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelway.accounts.money import Price, format_usd, worst_cost
from modelway.accounts.windows import as_text, window_end_ms
from modelway.conversation.errors import CallError
from modelway.store.budgets import Terms, spent_in
from modelway.store.claims import Kept
from modelway.store.database import Connection
from modelway.store.entries import UNLIMITED, Cap, Hold
from modelway.store.people import money_of
from modelway.store.posting import Granted, Outcome, Refused

if TYPE_CHECKING:
    from modelway.calls.settle import Meter

# The estimate of a prompt is right within a fifth; images and tools of odd shapes get a little more.
PROMPT_MARGIN_PERCENT = 125
PROMPT_MARGIN_TOKENS = 64
OUTPUT_TOKENS_ASSUMED_MAX = 32_768  # where neither the caller nor a card names a maximum
OUTPUT_TOKENS_LEAST = 1_024  # an account that can afford less than this much answer is as good as empty


class InUse(CallError):
    """The call's Idempotency-Key is another call's; `kept` is what is known of that one."""

    def __init__(self, kept: Kept) -> None:
        super().__init__("conflict", "This Idempotency-Key is in use", retry_after_s=1)
        self.kept = kept


def price_of(meter: Meter, terms: Terms, *, limited: bool) -> Price | None:
    """The price the call is reckoned by. None, unpriced, only where nothing limits what is spent."""
    price = meter.model.price or meter.services.usage_log.fallback_price
    if price is None and limited:
        raise CallError(
            "forbidden",
            f"no price is known for {meter.model.id!r}, and what {terms.name!r} may spend is limited; "
            "give the model a price in the configuration, or set `unknown_price`",
            param="model",
            code="model_unpriced",
        )
    return price


def hold_of(meter: Meter, amount: int, *, limited: bool) -> Hold:
    call, key = meter.call, meter.key
    return Hold(
        attempt_id=call.id,
        account_id=key.account_id,
        key_id=key.id,
        member_id=key.member_id,
        worker_id=meter.services.usage_log.worker_id,
        amount_nano_usd=amount,
        caps="" if limited else UNLIMITED,
        started_at_ms=call.began_at_ms,
        protocol=call.protocol.name,
        model=meter.model.id,
        stream=meter.request.stream,
        price_version=meter.price_version,
    )


def amounts_of(meter: Meter, price: Price) -> tuple[int, ...]:
    """What to set aside, from the most the call can cost down to the least worth beginning with.

    A caller who names a maximum gets all of it or nothing. Where nobody does, an account that cannot bear
    the longest answer may have a shorter one: the stream is ended when the money is (`Ledger`).
    """
    request = meter.request
    prompt = request.prompt_tokens_estimate() * PROMPT_MARGIN_PERCENT // 100 + PROMPT_MARGIN_TOKENS
    writes_cache = b"cache" in request.body

    def worst(output_tokens: int) -> int:
        return worst_cost(price, prompt, output_tokens * request.choices, writes_cache=writes_cache)

    if request.max_output_tokens is not None:
        return (worst(request.max_output_tokens),)
    known = [target.capabilities.max_output_tokens for target in meter.model.targets]
    most = max((each for each in known if each is not None), default=OUTPUT_TOKENS_ASSUMED_MAX)
    least = min(OUTPUT_TOKENS_LEAST, most)
    lengths = [most]
    while request.stream and lengths[-1] > least:  # an answer in one piece cannot be ended half way
        lengths.append(max(least, lengths[-1] // 4))
    return tuple(worst(length) for length in lengths)


async def granted(meter: Meter, outcome: Outcome, terms: Terms, caps: list[Cap]) -> int:
    """The amount that was set aside; raises what says why it was not."""
    match outcome:
        case Granted(amount):
            return amount
        case Refused(limit_id):
            now_ms = round(meter.services.now() * 1000)
            raise await meter.services.database.read(
                lambda connection: _refusal(connection, meter, terms, caps, limit_id, now_ms)
            )
        case Kept():
            raise InUse(outcome)


def _refusal(
    connection: Connection, meter: Meter, terms: Terms, caps: list[Cap], limit_id: str, now_ms: int
) -> CallError:
    """Which limit, its window, what is spent, its cap, when it starts anew."""
    if limit_id == terms.account_id:
        return _empty(connection, terms)
    cap = next(each for each in caps if each.id == limit_id)
    budget = next((each for each in terms.budgets if each.id == limit_id), None)
    resets = meter.key.resets if budget is None else budget.resets
    name = f"key {meter.key.masked}" if budget is None else f"{budget.scope} {budget.subject}"
    spent, held = spent_in(connection, cap.id, cap.window_start_ms)
    ends_ms = window_end_ms(resets, now_ms)
    anew = f"; it starts anew at {as_text(ends_ms)}" if ends_ms is not None else ""
    window = {"never": "in all"}.get(resets, resets)
    return CallError(
        "no_credit",
        f"the limit of {name} is {format_usd(cap.limit_nano_usd)} USD {window}; {format_usd(spent)} are "
        f"spent, {format_usd(held)} held by calls under way, and this call may cost more than is left{anew}",
        details={
            "budget": "key" if budget is None else budget.scope,
            "budget_id": cap.id,
            "window": resets,
            "spent_usd": format_usd(spent),
            "held_usd": format_usd(held),
            "cap_usd": format_usd(cap.limit_nano_usd),
            "resets_at": None if ends_ms is None else as_text(ends_ms),
        },
    )


def _empty(connection: Connection, terms: Terms) -> CallError:
    money = money_of(connection, terms.account_id)
    limit = terms.limit_nano_usd or 0
    what = "balance" if terms.billing == "prepaid" else f"limit of {format_usd(limit)} USD"
    return CallError(
        "no_credit",
        f"of the {what} of account {terms.name!r}, {format_usd(money.available_nano_usd or 0)} USD are left "
        f"({format_usd(money.held_nano_usd)} are held by calls under way), and this call may cost more; "
        "top the account up, or ask for a shorter answer",
        details={
            "budget": "account",
            "budget_id": terms.account_id,
            "window": "never",
            "spent_usd": format_usd(money.posted_nano_usd),
            "held_usd": format_usd(money.held_nano_usd),
            "cap_usd": format_usd(money.credit_nano_usd + limit),
            "resets_at": None,
        },
    )
