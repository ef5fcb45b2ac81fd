"""Adding, changing and removing model cards: the rules, once, for pages, management API and command line.

A card lies over the one of the same id that comes with us or is in the installation's folder, and changes
only what it states; an id that is new makes a new card. What a card would do is judged on the whole registry
as it would be, so that nothing is kept which a worker could not use.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from modelway.catalog.cards import Card, CardError
from modelway.catalog.checks import of_card
from modelway.catalog.drafts import FAULTS_MAX, REPEATED, Draft, DraftError, Fault, read_draft
from modelway.conversation.errors import CallError
from modelway.manage.ids import SYSTEM, Source
from modelway.manage.trail import note
from modelway.providers.registry import Registry
from modelway.store import cards
from modelway.store.cards import CARDS_MAX, StoredCard
from modelway.store.database import Connection, Database

Offer = Callable[[Iterable[str]], Registry]
"""What an installation would serve with the cards of these texts; raises CardError."""

TRIES_MAX = 5  # of a change that others come before; each judges again, some hundred cards in 0.2 s

J = TypeVar("J")
R = TypeVar("R")


class Change(NamedTuple):
    """A fact that would be otherwise. `field`: `prices.input`."""

    field: str
    before: Any
    after: Any


class _Moved(Exception):
    """Another card was changed since the cards were read."""


class Serving(NamedTuple):
    """A provider that calls to the model would go to, and under which name. `listed` False: it takes any
    name, and only it knows whether it has this model."""

    provider: str
    model: str
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a text would do as a card. `card` None: nothing, because of its faults; `stored` is what is kept
    under its id now, `before` the card of that id whoever wrote it."""

    id: str
    faults: tuple[Fault, ...] = ()
    card: Card | None = None
    before: Card | None = None
    stored: StoredCard | None = None
    changes: tuple[Change, ...] = ()
    served_by: tuple[Serving, ...] = ()


async def list_cards(database: Database) -> list[StoredCard]:
    """Every card that was written here, by id."""
    return await database.read(cards.list_cards)


async def find_card(database: Database, card_id: str) -> StoredCard:
    """Raises CallError: not_found, unavailable."""
    return _found(await list_cards(database), card_id)


async def judge_card(database: Database, offer: Offer, now: Registry, text: str) -> Verdict:
    """What `text` would do, without doing it. `now` is what is served at this moment."""
    _, stored = await database.read(cards.snapshot)
    return await asyncio.to_thread(_judged, stored, offer, now, text)


async def save_card(
    database: Database,
    offer: Offer,
    now: Registry,
    card_id: str,
    text: str,
    account_id: str,
    seen_change: int | None = None,
    source: Source = SYSTEM,
) -> Verdict:
    """Keep `text` as the card `card_id`; every worker knows it within a second.

    `account_id`: on whose trail it is written. With `seen_change` (0: there was none) it is refused when
    the card has been changed since. Raises CallError: invalid (`details["faults"]` has them all), conflict,
    unavailable.
    """

    def judge(stored: Sequence[StoredCard]) -> Verdict:
        verdict = _judged(stored, offer, now, text, card_id)
        if verdict.faults:
            raise _refusal(verdict)
        _check_seen(verdict.stored, card_id, seen_change)
        if verdict.stored is None and len(stored) >= CARDS_MAX:
            raise CallError("conflict", f"{CARDS_MAX} cards are kept already; remove one that is not needed")
        return verdict

    def keep(connection: Connection, number: int, verdict: Verdict) -> Verdict:
        kept = StoredCard(card_id, text, source.now_ms(), source.doer.key_id, number)
        cards.put(connection, kept)
        note(connection, source, account_id, "card.save", card_id, **_shown(text))
        return replace(verdict, stored=kept)

    return await _changed(database, judge, keep)


async def remove_card(
    database: Database, offer: Offer, card_id: str, account_id: str, source: Source = SYSTEM
) -> None:
    """Forget what was written; the card that comes with us, if there is one, holds again.

    Raises CallError: not_found, conflict (another card has taken a name that would come back), unavailable.
    """

    def judge(stored: Sequence[StoredCard]) -> None:
        gone = _found(stored, card_id)
        others = [card.text for card in stored if card.id != card_id]
        reason = _unusable(offer, others)
        # Where something is unusable with the card as well, taking it away is no harm.
        if reason is not None and _unusable(offer, [*others, gone.text]) is None:
            raise CallError("conflict", f"without the card {card_id!r}: {reason}", param="id")

    def forget(connection: Connection, _number: int, _judged: None) -> None:
        cards.remove(connection, card_id)
        note(connection, source, account_id, "card.remove", card_id)

    await _changed(database, judge, forget)


async def _changed(
    database: Database,
    judge: Callable[[Sequence[StoredCard]], J],
    change: Callable[[Connection, int, J], R],
) -> R:
    """Judge the cards as they are, then change them if nobody has meanwhile; else judge again.

    Judging takes up to some tenths of a second, in which the one writer is to book calls.
    """
    for _ in range(TRIES_MAX):
        seen, stored = await database.read(cards.snapshot)
        judged = await asyncio.to_thread(judge, stored)

        def work(connection: Connection, seen: int = seen, judged: J = judged) -> R:
            number = cards.begin_change(connection)
            if number != seen + 1:
                raise _Moved
            return change(connection, number, judged)

        with suppress(_Moved):
            return await database.write(work)
    raise CallError("conflict", "others are changing cards at this moment; try again")


def served_by(registry: Registry, card: Card) -> tuple[Serving, ...]:
    """The providers that calls to this card's model go to, those that list it first."""
    listed = [
        Serving(target.provider.name, model.id, True)
        for model in registry.models
        if model.card is card
        for target in model.targets
    ]
    if listed:
        return tuple(dict.fromkeys(listed))
    bare = card.id.rpartition("/")[2]
    return tuple(Serving(name, f"{name}/{bare}", False) for name in sorted(registry.open_to_any))


def _judged(
    stored: Sequence[StoredCard], offer: Offer, now: Registry, text: str, wanted: str | None = None
) -> Verdict:
    try:
        draft = read_draft(text)
    except DraftError as error:
        return Verdict(id=wanted or "", faults=error.faults)
    card_id: str = draft.raw["id"]
    same = next((card for card in stored if card.id == card_id), None)
    before = now.catalog.card(card_id)
    faults = list(islice(_name_faults(draft, now, wanted), FAULTS_MAX))
    if not faults:
        try:
            after = offer([*(card.text for card in stored if card.id != card_id), text])
        except CardError as error:
            faults.append(draft.fault_of(error))
        else:
            card = after.catalog.card(card_id)
            assert card is not None, "a card that was read is in the catalog it was read into"
            faults += [draft.fault(what, steps) for what, steps in islice(of_card(card), FAULTS_MAX)]
            if not faults:
                return Verdict(
                    id=card_id,
                    card=card,
                    before=before,
                    stored=same,
                    changes=tuple(_changes(before, card)),
                    served_by=served_by(after, card),
                )
    return Verdict(id=card_id, faults=tuple(faults), before=before, stored=same)


def _shown(text: str) -> dict[str, object]:
    """What the trail says of a text: which it was, without a page of the trail holding a thousand of them."""
    written = text.encode()
    return {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}


def _name_faults(draft: Draft, now: Registry, wanted: str | None) -> Iterator[Fault]:
    card_id = draft.raw["id"]
    if wanted is not None and wanted != card_id:
        yield draft.fault(f"{card_id!r} is another card than {wanted!r}, which was to be changed", ("id",))
    stated = draft.raw.get("aliases")
    aliases = [name for name in stated if isinstance(name, str)] if isinstance(stated, list) else []
    for name, other in now.catalog.rivals(card_id, aliases):
        steps = ("id",) if name == card_id else ("aliases", stated.index(name) if stated else 0)
        yield draft.fault(f"{name!r} is a name of the card {other!r} already", steps)


def _changes(before: Card | None, after: Card) -> Iterator[Change]:
    if before is None:
        return
    old, new = _facts(before), _facts(after)
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field):
            yield Change(field, old.get(field), new.get(field))


def _facts(card: Card) -> dict[str, Any]:
    """Every fact of a card by its dotted name; a list is one fact."""
    built: dict[str, Any] = msgspec.to_builtins(card)
    able = built["capabilities"]
    built["capabilities"] = {name: able[name] for name in able if name not in REPEATED}
    return dict(_flat(built, ""))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, child in value.items():
        if isinstance(child, Mapping):
            yield from _flat(child, f"{prefix}{name}.")
        elif child is not None and child != []:
            yield prefix + name, sorted(child) if name == "thinking_types" else child


def _unusable(offer: Offer, texts: Sequence[str]) -> str | None:
    try:
        offer(texts)
    except CardError as error:
        return str(error)
    return None


def _check_seen(stored: StoredCard | None, card_id: str, seen_change: int | None) -> None:
    current = 0 if stored is None else stored.change
    if seen_change is not None and seen_change != current:
        raise CallError(
            "conflict", f"the card {card_id!r} was changed by somebody else meanwhile; load it again"
        )


def _found(stored: Iterable[StoredCard], card_id: str) -> StoredCard:
    found = next((card for card in stored if card.id == card_id), None)
    if found is None:
        raise CallError(
            "not_found", f"no card {card_id[:100]!r} was written here; GET /v1/cards lists those that were"
        )
    return found


def _refusal(verdict: Verdict) -> CallError:
    first, *more = verdict.faults
    others = f" (and {len(more)} more: see error.details.faults)" if more else ""
    return CallError(
        "invalid",
        f"this is no card: {first}{others}",
        param=first.place or None,
        details={"faults": [msgspec.to_builtins(fault) for fault in verdict.faults]},
    )
