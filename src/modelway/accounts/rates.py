"""How fast a key or an account may go: four numbers, as somebody sets them and as they add up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelway.conversation.errors import CallError

# More than providers sell; times the milliseconds of a minute it is still a whole number of a double, which
# is all that a script has.
RATE_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What one minute may bring, and how many calls may be under way at once.

    Input tokens are those that were not read from a cache: uncached ones and those written to it. None
    leaves a number to whoever is asked next; 0 is no limit at all. `is_granted`: set by whoever may change
    accounts, so a key's may be looser than the installation's defaults.
    """

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    concurrency: int | None = None

    is_granted: bool = field(default=False, kw_only=True)

    def over(self, defaults: RateLimits) -> RateLimits:
        """These, and the defaults' numbers where there is none, or where ours is looser and not granted."""
        holds = _own if self.is_granted else _stricter
        return RateLimits(*map(holds, self.values(), defaults.values()))

    def values(self) -> tuple[int | None, ...]:
        """The numbers, in the order of `NAMES`."""
        return (
            self.requests_per_minute,
            self.input_tokens_per_minute,
            self.output_tokens_per_minute,
            self.concurrency,
        )

    def as_dict(self) -> dict[str, int]:
        """The numbers that are set, by name: how they are shown."""
        return {name: value for name, value in zip(NAMES, self.values(), strict=True) if value is not None}

    def stored(self) -> dict[str, int]:
        """How they are stored: the numbers, and whether they were granted."""
        return self.as_dict() | ({GRANTED: True} if self.is_granted else {})


def _own(own: int | None, default: int | None) -> int | None:
    return default if own is None else own


def _stricter(own: int | None, default: int | None) -> int | None:
    return min(own, default) if own and default else own or default


NAMES = ("requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "concurrency")
GRANTED = "is_granted"
NO_LIMITS = RateLimits()


def parse_rates(given: Mapping[str, object] | None) -> RateLimits | None:
    """Rate limits as they are stored, checked; None where nothing is set. Raises CallError (400)."""
    if not given:
        return None
    numbers: dict[str, int] = {}
    for name, value in given.items():
        if name == GRANTED:
            continue
        if name not in NAMES:
            raise CallError.invalid(
                f"there is no rate limit {name[:40]!r}; there are {', '.join(NAMES)}", param="rate_limits"
            )
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= RATE_MAX:
            shown = repr(value)[:40]
            raise CallError.invalid(
                f"{name} is {shown}; a whole number from 1 to {RATE_MAX} is right, or 0 for no limit",
                param=f"rate_limits.{name}",
            )
        numbers[name] = value
    return RateLimits(*map(numbers.get, NAMES), is_granted=given.get(GRANTED) is True) if numbers else None


def checked(rate_limits: RateLimits | None) -> RateLimits | None:
    """The same, with every number within what is possible. Raises CallError (400)."""
    return None if rate_limits is None else parse_rates(rate_limits.stored())
