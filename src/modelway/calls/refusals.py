"""Calls of a known key that were never metered: refused before they were admitted, or answered with what an
earlier one was told. They have a row like every other call.

What has no known key has no account to show it to. A client that is refused and asks again without pause
would fill the disk, so of one key's refusals only so many a second are kept.
"""

from __future__ import annotations

from collections import Counter

from modelway.accounts.keys import Key
from modelway.calls.call import Call, Services
from modelway.conversation.errors import CallError
from modelway.store.usage import UsageRow

# Of one key, path and worker. A person's mistakes are far below; at 200 bytes a row, a loop that never stops
# writes less than 400 MB a day.
KEPT_PER_SECOND_MAX = 20


class Refusals:
    """The refusals of one path."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._second = 0
        self._kept: Counter[str] = Counter()

    def note(self, call: Call, error: CallError) -> None:
        """Write the call's row, unless it has one, belongs to nobody known, or its key has had enough."""
        if call.booked or call.key is None:
            return
        second = int(self._services.clock())
        if second != self._second:
            self._second = second
            self._kept.clear()
        self._kept[call.key.id] += 1
        if self._kept[call.key.id] <= KEPT_PER_SECOND_MAX:
            status = error.status_on(call.protocol.name)
            row = row_without_meter(call, call.key, status, error.kind.name, error.code, self._services)
            self._services.usage_log.append(row)


def row_without_meter(
    call: Call, key: Key, status: int, outcome: str, error_code: str | None, services: Services
) -> UsageRow:
    """The row of a call that no provider was asked for."""
    asked = call.asked
    return UsageRow(
        request_id=call.id,
        account_id=key.account_id,
        key_id=key.id,
        started_at_ms=call.began_at_ms,
        protocol=call.protocol.name,
        model_asked=asked.model if asked is not None else "",
        model_answered=None,
        provider=None,
        upstream_protocol=None,
        status=status,
        outcome=outcome,
        error_code=error_code,
        stream=asked is not None and asked.stream,
        input_tokens=0,
        cache_read_tokens=None,
        cache_write_5m_tokens=None,
        cache_write_1h_tokens=None,
        output_tokens=0,
        reasoning_tokens=None,
        estimated=False,
        cost_nano_usd=0,
        first_token_ms=None,
        duration_ms=round((services.clock() - call.began_s) * 1000),
        member_id=key.member_id,
        model=None if asked is None else _configured(asked.model, services),
    )


def _configured(name: str, services: Services) -> str | None:
    """The id of the model of that name; None if that is its id, or there is none."""
    model = services.registry.known(name)
    return None if model is None or model.id == name else model.id
