"""Money as integers: nano-dollars, prices per million tokens, what a call costs. Pure.

A nano-dollar is 1e-9 USD. Prices are nano-dollars per million tokens, so that $0.0375 per million
tokens (37.5 nano-dollars a token) is an integer too; no floating-point number ever holds money.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from functools import lru_cache

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage

NANO_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
COST_NANO_USD_MAX = 10**16  # ten million dollars for one call is a slip in a price, and fits every column
DECIMAL_PLACES_MAX = 9  # nano
WHOLE_DIGITS_MAX = (
    9  # 999,999,999 USD is 1e18 nano-dollars: the next digit leaves a database's 64-bit integer
)

_USD = re.compile(rf"(\d{{1,{WHOLE_DIGITS_MAX}}})(?:\.(\d{{1,{DECIMAL_PLACES_MAX}}}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost, each in nano-dollars per million tokens; `web_search` is for one search.

    A cache or audio price that a vendor does not name is None and charged as `input` or `output`: a bill
    that is too low is a loss nobody sees. `tiers` are `(prompt tokens above which it holds, the whole price
    there)`, in rising order; vendors with a long-context price charge the entire call at it, not only the
    excess.
    """

    input: int
    output: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    tiers: tuple[tuple[int, Price], ...] = ()
    audio_input: int | None = None
    audio_output: int | None = None
    web_search: int = 0


def parse_usd(text: str, param: str | None = None) -> int:
    """Dollars as written (`0.15`) in nano-dollars, exactly; anything finer or stranger is refused."""
    match = _USD.fullmatch(text)
    if match is None:
        raise CallError.invalid(
            f"{text[:40]!r} is no amount in USD; write digits with up to {DECIMAL_PLACES_MAX} decimal places "
            "and no sign, such as 0.15",
            param=param,
        )
    whole, places = match.groups()
    return int(whole) * NANO_PER_USD + int((places or "").ljust(DECIMAL_PLACES_MAX, "0"))


def format_usd(nano_usd: int) -> str:
    """The shortest exact decimal of at least two places: `0.15`, `-3.00`, `0.000000001`."""
    whole, nano = divmod(abs(nano_usd), NANO_PER_USD)
    places = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano_usd < 0 else ''}{whole}.{places}"


def cost_of(usage: Usage, price: Price) -> int:
    """What `usage` costs at `price`, in nano-dollars: summed exactly, rounded up once, at the end.

    Up, because a part of a nano-dollar that is dropped on every call is never charged to anybody.
    Reasoning tokens are among the output tokens and are not counted again; audio tokens are among the
    input and output tokens, and only what they cost beyond those is added.
    """
    at = tier_of(price, usage.prompt_tokens)
    total = (
        usage.input_tokens * at.input
        + usage.output_tokens * at.output
        + (usage.cache_read_tokens or 0) * _or(at.cache_read, at.input)
        + (usage.cache_write_5m_tokens or 0) * _or(at.cache_write_5m, at.input)
        + (usage.cache_write_1h_tokens or 0) * _or(at.cache_write_1h, at.input)
    )
    if usage.audio_input_tokens or usage.audio_output_tokens:
        heard = min(usage.audio_input_tokens or 0, usage.input_tokens)
        said = min(usage.audio_output_tokens or 0, usage.output_tokens)
        total += heard * (_or(at.audio_input, at.input) - at.input)
        total += said * (_or(at.audio_output, at.output) - at.output)
    cost = -(-total // TOKENS_PER_PRICE) + (usage.web_searches or 0) * price.web_search
    return min(cost, COST_NANO_USD_MAX)


def worst_cost(price: Price, prompt_tokens: int, output_tokens: int, *, writes_cache: bool = False) -> int:
    """The most a call can cost that reads at most `prompt_tokens` and writes at most `output_tokens`.

    A prompt that is written to a cache may cost more than one that is not. Every tier that the prompt can
    reach is looked at: a longer context is usually dearer, but nothing says it must be.
    """
    most = prompt_tokens * _dearest_input(price, writes_cache) + output_tokens * price.output
    for above, tier in price.tiers:
        if prompt_tokens > above:
            there = prompt_tokens * _dearest_input(tier, writes_cache) + output_tokens * tier.output
            most = max(most, there)
    return min(-(-most // TOKENS_PER_PRICE), COST_NANO_USD_MAX)


@lru_cache(maxsize=4096)  # one per model
def version_of(price: Price) -> str:
    """A name for exactly this price: every line of the ledger says by which it was reckoned."""
    return hashlib.sha256(repr(asdict(price)).encode()).hexdigest()[:12]


def tier_of(price: Price, prompt_tokens: int) -> Price:
    """The price that holds for a prompt of this length, cached tokens included."""
    holds = price
    for above, tier in price.tiers:
        if prompt_tokens > above:
            holds = tier
    return holds


def _dearest_input(price: Price, writes_cache: bool) -> int:
    dearest = max(price.input, _or(price.audio_input, price.input))
    if not writes_cache:
        return dearest
    return max(dearest, price.cache_write_5m or 0, price.cache_write_1h or 0)


def _or(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
