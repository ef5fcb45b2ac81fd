"""One worker's ledger: takes holds and ended calls, posts them in groups, sees to the dead and the live.

    outcome = await ledger.reserve(hold)       # on the disk when it returns
    ledger.append(row, settlement)             # takes it without waiting; on the disk a little later

At most one posting of a worker is under way, so its money locks are taken in one order; what arrives
meanwhile goes with the next. A crash loses no reservation and no money: what was not posted is resolved
by the next sweep from the hold that was.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from modelway.accounts.ids import RANDOM_BYTES, sortable_id
from modelway.accounts.keys import Key
from modelway.accounts.money import Price
from modelway.conversation.errors import CallError
from modelway.store import alerts, changes, claims, dead_keys, leases, sent
from modelway.store.budgets import Terms, find_terms
from modelway.store.claims import Claim
from modelway.store.connections import reason, unavailable
from modelway.store.database import Database
from modelway.store.entries import Cap, Hold, Settlement, checkpoint
from modelway.store.posting import Batch, Opening, Record, in_parts, post
from modelway.store.usage_rows import UsageRow, storable

FLUSH_EVERY_S = 0.02  # a report is this late; at 5,000 calls/s a hundred rows share one commit
CLOCK_S = 0.002  # a timer may come this much too early
RECORDS_PER_POST_MAX = 2_000  # about 40 ms of writing, for which nobody else writes
RECORDS_WAITING_MAX = 100_000  # 20 s of 5,000 calls/s while the database is away, in about 120 MB
RETRY_S = 0.5  # while the database is away
POLL_EVERY_S = 0.5  # half of the second in which a changed limit is promised to arrive
STALE_MAX_S = 10.0  # as long as a key that is known outlives the database
TEND_EVERY_S = 2.0  # leases, checkpoints, sweeps: of a lease of seven seconds
FORGET_EVERY_S = 600.0  # an idempotency key that is older than a day is not in a hurry to go
TERMS_MAX = 10_000  # accounts known; beyond it all are asked for again

_log = logging.getLogger(__name__)


class Live(Protocol):
    """A call in flight, as the ledger looks after it."""

    key: Key
    granted_nano_usd: int | None

    @property
    def attempt_id(self) -> str: ...

    def progress(self) -> tuple[int, int, int] | None:
        """Input tokens, output tokens and cost so far; None while nothing was heard."""
        ...

    def end(self, why: CallError) -> None:
        """Break the call off; its client is told why."""
        ...


class Ledger:
    """Used on one loop. `close` posts what is left."""

    def __init__(
        self,
        database: Database,
        *,
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
        sent_folder: Path | None = None,
    ) -> None:
        """`sent_folder`: where calls are noted that are sent before their hold is written (`store.sent`)."""
        self._database = database
        self._now_s, self._now_ms = now_s, now_ms
        self.worker_id = sortable_id("wrk", now_ms(), random_bytes(RANDOM_BYTES))
        self.live: dict[str, Live] = {}
        self.wanted: dict[str, Claim] = {}  # idempotency keys, by the id of the call that wants them
        self.fallback_price: Price | None = None  # charged where no price is known; None refuses or records
        self._sent_folder = sent_folder
        self._sent = None if sent_folder is None else sent.SentLog(sent_folder, self.worker_id)
        self._random_bytes = random_bytes
        self._noted: set[tuple[str, int, int]] = set()  # thresholds that are in the table already
        self._waiting_since_s = 0.0
        self._openings: deque[Opening] = deque()
        self._records: deque[Record] = deque()
        self._known_prices: set[str] = set()
        self._terms: dict[str, Terms] = {}
        self._counts: dict[str, int] = {}
        self._fresh_at_s = self._forgot_at_s = float("-inf")
        self._posting: asyncio.Task[None] | None = None
        self._one_post = asyncio.Lock()
        self._due: asyncio.TimerHandle | None = None
        self._closing = False
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    # --- what calls ask -----------------------------------------------------------------------

    @property
    def is_joined(self) -> bool:
        """Whether holds can be written: before, whatever is sent to a provider may be in vain."""
        return self._joined.done()

    @property
    def is_full(self) -> bool:
        """Whether the database has been away for too long; asked before a call is let in."""
        return len(self._records) >= RECORDS_WAITING_MAX

    @property
    def rows_waiting(self) -> int:
        """Records taken and not yet handed to the database."""
        return len(self._records)

    async def terms(self, account_id: str) -> Terms:
        """What holds for the account's calls; at most a second old. Raises CallError("unavailable")."""
        known = self._terms.get(account_id)
        if known is not None and self._now_s() - self._fresh_at_s <= STALE_MAX_S:
            return known
        count = self._counts.get(changes.MONEY, 0)

        def query(connection: Connection) -> tuple[dict[str, int], Terms | None]:
            return changes.counts(connection), find_terms(connection, account_id)

        counts, found = await self._database.read(query)
        if found is None:
            raise CallError("forbidden", "the account of this key is not there any more")
        # An answer older than what has been heard since may be the one thing that was to be forgotten.
        if counts.get(changes.MONEY, 0) >= self._counts.get(changes.MONEY, count):
            if len(self._terms) >= TERMS_MAX:
                self._terms.clear()
            self._terms[account_id] = found
        return found

    def reserve(
        self,
        hold: Hold,
        *,
        amounts: tuple[int, ...] = (),
        caps: Sequence[Cap] = (),
        claim: Claim | None = None,
    ) -> Opening:
        """Begin to set money aside; to be awaited for the outcome, which is on the disk by then.

        `amounts`: what to try, from the greatest down; none when neither account nor caps have a limit.
        Then, and without a claim, the call may be sent at once, and is noted for it. Raises
        CallError("unavailable") when the disk does not even take the note.
        """
        opening = Opening(hold, amounts, caps, claim)
        if self._sent is not None and not amounts and claim is None:
            try:
                self._sent.note(hold, opening)
            except OSError as error:
                _log.error("a call cannot be noted: %s", error)
                raise unavailable() from error
        self._openings.append(opening)
        self._post_now()
        return opening

    def append(self, row: UsageRow, settlement: Settlement | None = None, price: Price | None = None) -> None:
        """Take a call that ended. Never refuses: the call has been answered already."""
        if not self._records:
            self._waiting_since_s = asyncio.get_running_loop().time()
        self._records.append(Record(storable(row), settlement, price))
        self._post_in_time()

    # --- posting ------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Return when all that was taken so far is on the disk. Raises CallError if the database is away."""
        await self._post_some(everything=True)
        while self._records or self._openings:
            await self._post_some(everything=True)

    async def close(self) -> None:
        """Post what is left. Raises CallError, the number of records lost in the log, if it cannot.

        Not even then is money lost: the holds are there, and the next to start resolves them.
        """
        self._closing = True
        for task in (self._tending, self._posting):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._due is not None:
            self._due.cancel()
        try:
            await self.flush()
            await self._database.write(lambda connection: leases.leave(connection, self.worker_id))
        except CallError:
            _log.error("the database is away: %d rows of usage are lost", len(self._records))
            if self._sent is not None:
                self._sent.abandon()
            raise
        if self._sent is not None:
            self._sent.close()

    def _post_now(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._posting is None and not self._closing:
            self._posting = asyncio.get_running_loop().create_task(self._post_in_background())

    def _post_in_time(self) -> None:
        if self._posting is None and self._due is None and not self._closing:
            self._due = asyncio.get_running_loop().call_later(FLUSH_EVERY_S, self._post_now)

    def _is_due(self) -> bool:
        """Whether calls that ended go with the next posting: many of them cost little more than a few."""
        waited_s = asyncio.get_running_loop().time() - self._waiting_since_s
        return bool(self._records) and waited_s >= FLUSH_EVERY_S - CLOCK_S

    async def _post_in_background(self) -> None:
        try:
            if not self.is_joined:
                await asyncio.shield(self._joined)
            while self._openings or self._is_due():
                try:
                    await self._post_some()
                except CallError:
                    _log.warning("%d rows of usage wait for the database", len(self._records))
                    if not self._openings:
                        await asyncio.sleep(RETRY_S)
        finally:
            self._posting = None
            if self._openings:
                self._post_now()
            elif self._records:
                self._post_in_time()

    async def _post_some(self, *, everything: bool = False) -> None:
        async with self._one_post:
            batch = self._take(everything)
            if not batch.openings and not batch.records:
                return
            try:
                outcomes = await self._database.write(partial(post, batch=batch))
            except (CallError, asyncio.CancelledError) as error:
                # Whether it arrived is unknown (the line broke, we were cancelled). Records may go twice;
                # openings are refused, and their settlement finds out whether there is a hold.
                self._put_back(batch, error if isinstance(error, CallError) else unavailable())
                raise
            except Exception:  # the edge of a background loop: one of them is not to the database's liking
                await self._post_singly(batch)
            else:
                self._known_prices.update(batch.new_prices)
                for opening, outcome in zip(batch.openings, outcomes, strict=True):
                    opening.ended(outcome)

    def _take(self, everything: bool) -> Batch:
        openings = list(self._openings)
        self._openings.clear()
        # What ended may give back what a limited account needs for the next call.
        wanted = everything or self._is_due() or any(each.amounts for each in openings)
        count = min(len(self._records), RECORDS_PER_POST_MAX) if wanted else 0
        records = [self._records.popleft() for _ in range(count)]
        new = {
            each.row.price_version: each.price
            for each in records
            if each.price is not None
            and each.row.price_version is not None
            and each.row.price_version not in self._known_prices
        }
        return Batch(openings, records, new, self._now_ms())

    def _put_back(self, batch: Batch, error: CallError) -> None:
        self._records.extendleft(reversed(batch.records))
        for opening in batch.openings:
            opening.failed(error)

    async def _post_singly(self, batch: Batch) -> None:
        """So that the one that is at fault, which is a fault of ours, does not hold up the others."""
        singles = [Batch([each], [], {}, batch.now_ms) for each in batch.openings]
        singles += [Batch([], [each], batch.new_prices, batch.now_ms) for each in batch.records]
        for number, single in enumerate(singles):
            try:
                await self._post_one(single)
            except (CallError, asyncio.CancelledError) as error:
                for rest in reversed(singles[number:]):
                    self._put_back(rest, error if isinstance(error, CallError) else unavailable())
                raise

    async def _post_one(self, single: Batch) -> None:
        what = single.records[0].row.request_id if single.records else "a reservation"
        try:
            outcomes = await self._database.write(partial(post, batch=single))
        except CallError:
            raise
        except Exception as error:  # as above
            _log.error("%s cannot be stored: %s", what, reason(error))
            self._put_back(Batch(single.openings), CallError("internal", "The gateway failed"))
            await self._write_each(in_parts(single), what)
        else:
            for opening, outcome in zip(single.openings, outcomes, strict=True):
                opening.ended(outcome)

    async def _write_each(self, changes: list[Callable[[Connection], None]], what: str) -> None:
        """One that fails does not stop the others. Raises CallError if the database is away."""
        for change in changes:
            try:
                await self._database.write(change)
            except CallError:
                raise
            except Exception as error:  # as above: it is alone in what it says
                _log.error("a part of %s cannot be stored: %s", what, reason(error))

    # --- looking after ------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Join; then poll for changes, renew the lease, note what streams cost, free what the dead held."""
        await self._join()
        tended_s = self._now_s()
        while True:
            await asyncio.sleep(POLL_EVERY_S)
            try:
                await self._poll()
                if self._now_s() - tended_s >= TEND_EVERY_S:
                    tended_s = self._now_s()
                    await self._look_after()
            except CallError as error:
                _log.warning("the ledger cannot be tended: %s", error.message)
            except Exception as error:  # the edge of a background loop: the next round may do better
                _log.error("the ledger's round failed: %s", reason(error))

    async def _join(self) -> None:
        """Be known as alive before holding anything; resolve what was held when this process last died."""
        while True:
            try:
                await self._database.write(partial(_renewed, self.worker_id, self._now_ms))
                await self._restore()
                await self._sweep()
                break
            except CallError as error:
                self._refuse_waiting(error)
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # the edge of a background loop: the next try may do better
                _log.error("the ledger cannot be joined: %s", reason(error))
                self._refuse_waiting(unavailable())
                await asyncio.sleep(RETRY_S)
        self._joined.set_result(None)

    async def _restore(self) -> None:
        """Open the holds of calls that a worker of this folder sent and was killed before writing down."""
        for path in [] if self._sent_folder is None else sent.left_behind(self._sent_folder):
            with sent.taken(path) as noted:
                await self._database.write(partial(sent.restore, noted=noted))

    def _refuse_waiting(self, error: CallError) -> None:
        waiting = Batch(list(self._openings))
        self._openings.clear()
        self._put_back(waiting, error)

    async def _poll(self) -> None:
        asked_at_s = self._now_s()
        counts = await self._database.read(changes.counts)
        if counts.get(changes.MONEY, 0) != self._counts.get(changes.MONEY, 0):
            self._terms.clear()
        keys_changed = counts.get(dead_keys.SUBJECT, 0) != self._counts.get(dead_keys.SUBJECT, 0)
        self._counts = counts
        self._fresh_at_s = asked_at_s
        if keys_changed:
            await self._end_dead_keys()

    async def _end_dead_keys(self) -> None:
        """A key that is revoked or has expired takes its live calls with it; one that has got a limit since
        they were admitted, those that go past it.
        """
        held, now_ms = {live.key.id for live in self.live.values()}, self._now_ms()
        if not held:
            return
        dead, limits = await self._database.read(
            lambda connection: (
                dead_keys.among(connection, held, now_ms),
                dead_keys.limits_of(connection, held, now_ms),
            )
        )
        spent = {key_id: limit.posted_nano_usd for key_id, limit in limits.items()}
        for live in list(self.live.values()):
            key = live.key
            if key.id in dead:
                live.end(CallError("unauthenticated", "The API key of this call was revoked or has expired"))
            elif (limit := limits.get(key.id)) is not None and limit.is_news_to(key):
                spent[key.id] += (live.progress() or (0, 0, 0))[2]
                if spent[key.id] > limit.limit_nano_usd:
                    live.end(CallError("no_credit", "The API key of this call has got another limit"))

    async def _look_after(self) -> None:
        """The lease first: whatever else goes wrong, this worker lives. On SQLite one process serves: nobody
        else can die, and nobody asks whether we did.
        """
        may_sweep = self._database.dialect != "sqlite" and await self._database.write(
            partial(_renewed, self.worker_id, self._now_ms)
        )
        self._end_overspent()
        await self._end_dead_keys()
        await self._note_thresholds()
        seen = [
            (*progress, live.attempt_id)
            for live in self.live.values()
            if (progress := live.progress()) is not None
        ]
        if seen:
            await self._checkpoint(seen)
        await self._forget_claims()
        if may_sweep:
            await self._sweep()

    async def _checkpoint(self, seen: list[tuple[int, int, int, str]]) -> None:
        try:
            await self._database.write(partial(checkpoint, seen=seen))
        except CallError:
            raise
        except Exception:  # one of them is not to the database's liking
            await self._write_each([partial(checkpoint, seen=[each]) for each in seen], "a checkpoint")

    def _end_overspent(self) -> None:
        """A stream may not go on for longer than what was set aside for it lasts."""
        for live in list(self.live.values()):
            progress = live.progress() if live.granted_nano_usd is not None else None
            if progress is not None and progress[2] > (live.granted_nano_usd or 0):
                live.end(
                    CallError("no_credit", "The answer has used up what this account or key may spend on it")
                )

    async def _sweep(self) -> None:
        while await self._database.write(partial(_recovered, self.worker_id, self._now_ms)):
            pass

    async def _note_thresholds(self) -> None:
        """Of the accounts that call here: whichever of their budgets has passed a threshold."""
        watched = [each for terms in self._terms.values() for each in terms.budgets if each.alerts]
        if not watched:
            return
        now_ms = self._now_ms()
        found = await self._database.read(lambda connection: alerts.passed(connection, watched, now_ms))
        found = [each for each in found if (each[0].id, each[1], each[2]) not in self._noted]
        if found:
            random = self._random_bytes(RANDOM_BYTES)
            await self._database.write(lambda connection: alerts.note(connection, found, now_ms, random))
            self._noted.update((each[0].id, each[1], each[2]) for each in found)

    async def _forget_claims(self) -> None:
        if self._now_s() - self._forgot_at_s < FORGET_EVERY_S:
            return
        self._forgot_at_s = self._now_s()
        while await self._database.write(lambda connection: claims.sweep(connection, self._now_ms())):
            pass


def _renewed(worker_id: str, now_ms: Callable[[], int], connection: Connection) -> bool:
    return leases.renew(connection, worker_id, now_ms())


def _recovered(worker_id: str, now_ms: Callable[[], int], connection: Connection) -> int:
    return leases.recover(connection, worker_id, now_ms())
