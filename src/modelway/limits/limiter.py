"""Which limits a call has to pass, and the counter that knows what is left of them."""

from __future__ import annotations

from modelway.accounts.keys import Key
from modelway.accounts.rates import NO_LIMITS, RateLimits
from modelway.limits.memory import MemoryCounter
from modelway.limits.rules import Costs, Refusal, Rule, Ticket, counting_rules, rules_of
from modelway.limits.shared import SharedCounter

COUNT_COSTS: Costs = (1, 0, 0, 0)
KEYS_MAX = 10_000  # whose rules are remembered; beyond it all are made anew


class Limiter:
    """One worker's. `defaults` are every key's numbers where it has none of its own; an account has only its
    own. Without `shared` this process counts alone.
    """

    def __init__(
        self, defaults: RateLimits, alone: MemoryCounter, shared: SharedCounter | None = None
    ) -> None:
        self._defaults, self._has_defaults = defaults, defaults != NO_LIMITS
        self._alone, self.shared = alone, shared
        self._rules: dict[str, tuple[RateLimits | None, RateLimits | None, tuple[Rule, ...]]] = {}

    def rules(self, key: Key, account: RateLimits | None) -> tuple[Rule, ...]:
        """What a call of `key` has to pass; nothing, and at no cost, where nothing is limited."""
        own = key.rate_limits
        if own is None and account is None and not self._has_defaults:
            return ()
        known = self._rules.get(key.id)
        if known is not None and known[0] is own and known[1] is account:
            return known[2]
        if len(self._rules) >= KEYS_MAX:
            self._rules.clear()
        rules = rules_of(key.chain, key.account_id, (own or NO_LIMITS).over(self._defaults), account)
        self._rules[key.id] = own, account, rules
        return rules

    async def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        """Take what the call costs of every rule, or nothing of any; `settle` ends what this begins."""
        if self.shared is None:
            return self._alone.admit(rules, costs, member)
        return await self.shared.admit(rules, costs, member)

    def settle(self, ticket: Ticket, used: Costs) -> None:
        """Give back what the call did not use, or take what it used beyond. A second time does nothing."""
        (self.shared or self._alone).settle(ticket, used)

    async def count(self, rules: tuple[Rule, ...], member: str) -> Ticket | Refusal:
        """`admit` for a call that only counts tokens: as limits go it is over at once."""
        outcome = await self.admit(counting_rules(rules), COUNT_COSTS, member)
        if isinstance(outcome, Ticket) and not outcome.is_shared:
            self.settle(outcome, COUNT_COSTS)
        return outcome
