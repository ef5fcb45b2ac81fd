"""Tells somebody that a budget has passed a threshold: a signed POST to one address, tried for about an hour.

The address is the operator's own setting, so it may be anywhere. Nothing waits for it: a receiver that
is slow or dead delays other alerts and no call.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from modelway.accounts.money import format_usd
from modelway.accounts.windows import as_text
from modelway.conversation.errors import CallError
from modelway.providers.upstream import UpstreamClient
from modelway.store import alerts
from modelway.store.alerts import Alert
from modelway.store.database import Database

LOOK_EVERY_S = 2.0
ANSWER_WITHIN_S = 10.0  # a receiver has to note it, not to act on it
SIGNATURE = "x-modelway-signature"

_log = logging.getLogger(__name__)


class AlertSender:
    """`async with AlertSender(…)`: sends what is due until it is left."""

    def __init__(
        self, database: Database, upstreams: UpstreamClient, url: str, secret: bytes, now: Callable[[], float]
    ) -> None:
        self._database, self._upstreams, self._url, self._secret = database, upstreams, url, secret
        self._now = now
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AlertSender:
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def send_due(self) -> int:
        """Send what is due now; how many were received."""
        now_ms = round(self._now() * 1000)
        due = await self._database.write(lambda connection: alerts.take_due(connection, now_ms))
        return sum([await self._send(alert) for alert in due])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.send_due()
            except CallError as error:
                _log.warning("alerts cannot be looked for: %s", error.message)

    async def _send(self, alert: Alert) -> bool:
        body = body_of(alert)
        signature = sign(self._secret, round(self._now()), body)
        headers = {"content-type": "application/json", SIGNATURE: signature}
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                upstream = await self._upstreams.open(self._url, body, headers)
            status = upstream.status
            upstream.close()
        except (CallError, TimeoutError) as error:
            _log.warning("alert %s was not received: %s", alert.id, error)
            return False
        if not 200 <= status < 300:
            _log.warning("alert %s was not received: status %d", alert.id, status)
            return False
        now_ms = round(self._now() * 1000)
        await self._database.write(lambda connection: alerts.told(connection, alert.id, now_ms))
        return True


def body_of(alert: Alert) -> bytes:
    return msgspec.json.encode(
        {
            "id": alert.id,
            "type": "budget.threshold",
            "created_at": as_text(alert.created_at_ms),
            "account_id": alert.account_id,
            "budget": {
                "id": alert.budget_id,
                "scope": alert.scope,
                "subject": alert.subject,
                "window": alert.resets,
                "window_began_at": as_text(alert.window_start_ms),
                "cap_usd": format_usd(alert.limit_nano_usd),
            },
            "percent": alert.percent,
            "spent_usd": format_usd(alert.spent_nano_usd),
        }
    )


def sign(secret: bytes, at_s: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA-256 of `<seconds>.<body>`, so an old one can be refused."""
    return f"t={at_s},v1={hmac.digest(secret, b'%d.%b' % (at_s, body), 'sha256').hex()}"
