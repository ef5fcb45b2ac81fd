"""Rate limits as bodies name them and answers show them, of keys and of accounts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, structs

from modelway.accounts.rates import RATE_MAX, RateLimits

PerMinute = Annotated[int, Meta(ge=0, le=RATE_MAX)]


class RatesBody(Struct, frozen=True, forbid_unknown_fields=True):
    """How fast something may go; 0 is no limit, null leaves a number to the installation's default."""

    requests_per_minute: PerMinute | None = None
    input_tokens_per_minute: PerMinute | None = None
    output_tokens_per_minute: PerMinute | None = None
    concurrency: PerMinute | None = None

    def limits(self, *, is_granted: bool = False) -> RateLimits:
        return RateLimits(**structs.asdict(self), is_granted=is_granted)


def rates_object(rates: RateLimits | None) -> dict[str, int] | None:
    """The numbers that are set; null: none is."""
    return None if rates is None else rates.as_dict()
