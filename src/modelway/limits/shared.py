"""The counter that all workers share, in Valkey, and what stands in for it while it is away.

One script lets a call in, one settles it; each counts by the server's clock. Calls under way hold leases
that their worker renews, so that a worker which dies holds nothing for long. While Valkey is slow or dead
each worker keeps to its share of every limit, beginning with nothing left: what had been used before is not
known here, and the sum shall not pass the limit. When it is back, what was used meanwhile is added to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha1
from importlib.resources import files
from itertools import islice
from typing import cast

from modelway.accounts.rates import RATE_MAX
from modelway.limits.memory import MemoryCounter, Share
from modelway.limits.rules import (
    CONCURRENCY_WAIT_MS,
    DEBT_WINDOWS_MAX,
    REQUESTS,
    Costs,
    Mark,
    Refusal,
    Rule,
    State,
    Ticket,
)
from modelway.limits.valkey import ANSWER_TIMEOUT_S, Address, Away, Connection, Reply, ask, connect

LEASE_MS = 30_000  # a place that a dead worker held is free again after this
RENEW_EVERY_S = 10.0  # so two renewals may be lost
RETRY_FIRST_S, RETRY_MAX_S = 0.1, 1.0  # how soon a server that is back is noticed
UNSENT_MAX = 10_000  # settlements kept while it is away; of what is beyond, leases and windows run out
RENEWED_MAX = 500  # calls in one command
BROUGHT_MAX = 500  # settlements at once: a tenth of the time that an answer may take
NUMBERS_PER_RULE = 5
PROBE = Rule("account", "", REQUESTS, RATE_MAX, "modelway:{probe}")

_log = logging.getLogger(__name__)
SCRIPT_NAMES = ("admit", "settle", "renew")


class Scripts:
    """What runs in the server: texts, and the digests by which they are called."""

    def __init__(self, texts: Mapping[str, bytes]) -> None:
        self.texts = tuple(texts.values())
        self.admit, self.settle, self.renew = (
            sha1(texts[name], usedforsecurity=False).hexdigest().encode() for name in SCRIPT_NAMES
        )


def shipped() -> dict[str, bytes]:
    """The scripts of this package, each behind what they share."""
    folder, numbers = files(__package__), b"local debt_windows_max = %d" % DEBT_WINDOWS_MAX
    return {
        name: b"\n".join((numbers, *((folder / f"{part}.lua").read_bytes() for part in ("buckets", name))))
        for name in SCRIPT_NAMES
    }


SCRIPTS = Scripts(shipped())


class SharedCounter:
    """`async with SharedCounter(address, now_ms, share) as counter`. Used on one loop."""

    def __init__(
        self,
        address: Address,
        now_ms: Callable[[], int],
        share: Share | None,
        *,
        scripts: Scripts = SCRIPTS,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._address, self._now_ms, self._share, self._scripts = address, now_ms, share, scripts
        self._answer_timeout_s = answer_timeout_s
        self._connection: Connection | None = None
        self._alone = self._fresh()
        self._under_way: dict[str, Ticket] = {}  # with a place among calls at once, or counted here
        self._unsent: deque[tuple[bytes, ...]] = deque(maxlen=UNSENT_MAX)
        self._tending: asyncio.Task[None] | None = None
        self._told_away = False

    @property
    def is_away(self) -> bool:
        return self._connection is None

    async def __aenter__(self) -> SharedCounter:
        try:
            await self._connect()
        except Away as why:  # it may come later; until then each worker counts alone
            self._tell_away(why)
        self._tending = asyncio.get_running_loop().create_task(self._tend())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        if self._connection is not None:
            with suppress(Away):  # what was settled last is on its way: an answer says that it is there
                await ask(self._connection, b"PING")
            connection, self._connection = self._connection, None
            connection.close()

    # --- calls --------------------------------------------------------------------------------

    async def admit(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        """Take what the call costs of every rule, or nothing of any."""
        connection = self._connection
        if connection is not None:
            answer = connection.send(b"EVALSHA", self._scripts.admit, *_admission(rules, costs, member))
            try:
                return self._admitted(await asyncio.shield(answer), rules, costs, member)
            except asyncio.CancelledError:
                answer.add_done_callback(lambda _: self._undo(answer, rules, costs, member))
                raise
            except Away as why:
                self._lose(connection, why)
                self._leave_places(rules, costs, member)
        return self._admit_alone(rules, costs, member)

    def _admitted(self, reply: Reply, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        outcome = _outcome(reply, rules, costs, member)
        if isinstance(outcome, Ticket) and _has_place(outcome):
            self._under_way[member] = outcome
            if self._connection is None:  # lost since this was answered
                self._alone.enter(outcome)
        return outcome

    def _admit_alone(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
        outcome = self._alone.admit(rules, costs, member)
        if isinstance(outcome, Ticket):
            self._under_way[member] = outcome
        return outcome

    def _undo(
        self, answer: asyncio.Future[Reply], rules: tuple[Rule, ...], costs: Costs, member: str
    ) -> None:
        """The client left while its call was being let in."""
        if answer.cancelled() or answer.exception() is not None:
            self._leave_places(rules, costs, member)
            return
        with suppress(Away):
            outcome = self._admitted(answer.result(), rules, costs, member)
            if isinstance(outcome, Ticket):
                self.settle(outcome, (1, 0, 0, 0))

    def _leave_places(self, rules: tuple[Rule, ...], costs: Costs, member: str) -> None:
        """Nobody knows whether the server has let this call in; if so, its place is given back. What it took
        besides drains.
        """
        places = [Mark(rule, 1) for rule in rules if rule.window_ms is None and costs[rule.index]]
        if places:
            self._settle(_settlement(Ticket(member, places, []), (0, 0, 0, 0)))

    def settle(self, ticket: Ticket, used: Costs) -> None:
        """Give back what the call did not use, or take what it used beyond. A second time does nothing."""
        if not ticket.is_open:
            return
        self._under_way.pop(ticket.member, None)
        if not ticket.is_shared:
            self._alone.settle(ticket, used)
            return
        ticket.is_open = False
        if self._connection is None:
            self._alone.leave(ticket)
        if ticket.marks:
            self._settle(_settlement(ticket, used))

    def _settle(self, words: tuple[bytes, ...]) -> None:
        if self._connection is None:
            self._unsent.append(words)
        else:
            self._connection.send(b"EVALSHA", self._scripts.settle, *words)

    # --- the server, away and back ------------------------------------------------------------

    def _fresh(self) -> MemoryCounter:
        return MemoryCounter(self._now_ms, self._share, starts_full=True)

    async def _connect(self) -> None:
        """Enter, see that everything works, bring what happened meanwhile. Raises Away."""
        connection: Connection | None = None

        def lost(why: Away) -> None:
            if connection is not None:
                self._lose(connection, why)

        connection = await connect(self._address, lost, self._answer_timeout_s)
        try:
            for text in self._scripts.texts:
                await ask(connection, b"SCRIPT", b"LOAD", text)
            # One real admission: a server that is full, or only reads, would fail at the first call.
            admission = _admission((PROBE,), (1, 0, 0, 0), "")
            await ask(connection, b"EVALSHA", self._scripts.admit, *admission)
            await self._bring(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    async def _bring(self, connection: Connection) -> None:
        """What was used here while the server was away, a piece at a time, and all that is under way. When
        this returns nothing is left, and nobody has been let in since.
        """
        while True:
            piece = list(islice(self._unbrought(), BROUGHT_MAX))
            answers = [connection.send(b"EVALSHA", self._scripts.settle, *words) for words in piece]
            if len(piece) < BROUGHT_MAX:
                break
            await answers[-1]
        for ticket in list(self._under_way.values()):
            if not ticket.is_shared:
                ticket.is_shared = True
                for mark in ticket.marks:  # it lies in no bucket there: what it does not use, drains
                    mark.since_ms = 0
            if not _has_place(ticket):
                del self._under_way[ticket.member]
        self._renew(connection)
        self._alone = self._fresh()

    def _unbrought(self) -> Iterator[tuple[bytes, ...]]:
        while self._unsent:
            yield self._unsent.popleft()
        for rule, used in self._alone.take_out():
            yield _settlement(Ticket("", [Mark(rule, 0)], []), (used, used, used, 0))

    def _lose(self, connection: Connection, why: Away) -> None:
        if self._connection is not connection:
            return
        self._connection = None
        connection.close(why)
        self._alone = self._fresh()
        for ticket in self._under_way.values():
            self._alone.enter(ticket)
        self._tell_away(why)

    def _tell_away(self, why: Away) -> None:
        if not self._told_away:
            self._told_away = True
            _log.warning(
                "Valkey at %s is away (%s): each worker keeps to its share of every rate limit",
                self._address,
                why,
            )

    async def _tend(self) -> None:
        delay_s, renewed_s = RETRY_FIRST_S, 0.0
        while True:
            await asyncio.sleep(delay_s if self._connection is None else RETRY_MAX_S)
            try:
                if self._connection is None:
                    await self._connect()
                    delay_s, self._told_away = RETRY_FIRST_S, False
                    _log.warning("Valkey at %s is back: rate limits are shared again", self._address)
                elif (renewed_s := renewed_s + RETRY_MAX_S) >= RENEW_EVERY_S:
                    renewed_s = 0.0
                    self._renew(self._connection)
            except Away:
                delay_s = min(delay_s * 2, RETRY_MAX_S)
            except Exception as error:  # the edge of a background loop: without it nobody would look again
                _log.error("the round that looks after Valkey failed: %s", type(error).__name__)

    def _renew(self, connection: Connection) -> None:
        places: dict[str, list[bytes]] = {}
        for ticket in self._under_way.values():
            for mark in ticket.marks:
                if mark.rule.window_ms is None:
                    places.setdefault(mark.rule.bucket, []).append(ticket.member.encode())
        for bucket, members in places.items():
            for start in range(0, len(members), RENEWED_MAX):
                connection.send(
                    *(b"EVALSHA", self._scripts.renew, b"1", bucket.encode(), b"%d" % LEASE_MS),
                    *members[start : start + RENEWED_MAX],
                )


def _has_place(ticket: Ticket) -> bool:
    return any(mark.rule.window_ms is None for mark in ticket.marks)


def _admission(rules: tuple[Rule, ...], costs: Costs, member: str) -> tuple[bytes, ...]:
    words = [b"%d" % len(rules)]
    words += [rule.bucket.encode() for rule in rules]
    words += [member.encode(), b"%d" % LEASE_MS, b"%d" % CONCURRENCY_WAIT_MS]
    for rule in rules:
        words += [b"%d" % (rule.window_ms or 0), b"%d" % rule.limit, b"%d" % costs[rule.index]]
    return tuple(words)


def _outcome(reply: Reply, rules: tuple[Rule, ...], costs: Costs, member: str) -> Ticket | Refusal:
    """What the script said. Raises Away if it is not what our script says."""
    if isinstance(reply, Exception):
        raise reply
    if not isinstance(reply, list) or len(reply) != 2 + NUMBERS_PER_RULE * len(rules):
        raise Away("it answers what our script does not say")
    refused, wait_ms, *numbers = cast(list[int], reply)
    marks, states = [], []
    for rule in rules:
        taken, left, reset_ms, since_ms, added, *numbers = numbers
        if rule.window_ms is not None:
            states.append(State(rule, left, reset_ms))
        if taken:
            marks.append(Mark(rule, taken, since_ms, added))
    if refused:
        return Refusal(rules[refused - 1], wait_ms, states)
    return Ticket(member, marks, states, is_shared=True)


def _settlement(ticket: Ticket, used: Costs) -> tuple[bytes, ...]:
    words = [b"%d" % len(ticket.marks)]
    words += [mark.rule.bucket.encode() for mark in ticket.marks]
    words.append(ticket.member.encode())
    for mark in ticket.marks:
        rule = mark.rule
        numbers = (rule.window_ms or 0, rule.limit, mark.taken, used[rule.index], mark.since_ms, mark.added)
        words += [b"%d" % number for number in numbers]
    return tuple(words)
