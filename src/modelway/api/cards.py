"""`/v1/cards`: the model cards that were written here, what one would do, and how it is kept."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from modelway.accounts.windows import as_text
from modelway.api.management import Asked, Managed, Page
from modelway.catalog.capabilities import PATHS
from modelway.catalog.cards import Card
from modelway.catalog.drafts import TEXT_BYTES_MAX, written
from modelway.catalog.forms import flat
from modelway.conversation.errors import CallError
from modelway.manage import models as manage
from modelway.manage.models import Verdict
from modelway.store.cards import StoredCard

# Every character of the longest card may be one that JSON escapes.
BODY_BYTES_MAX = 2 * TEXT_BYTES_MAX + 1024
COLUMNS = ("id", "text", "changed_at", "changed_by", "change")


class CardText(Struct, frozen=True):
    """A card, as a text in YAML or as an object."""

    text: Annotated[str | None, Meta(description="The card in YAML; JSON is YAML too.")] = None
    card: Annotated[dict[str, Any] | None, Meta(description="The card as an object, in place of `text`.")] = (
        None
    )


class CardChange(CardText, frozen=True):
    """A card to keep."""

    seen_change: Annotated[
        int | None,
        Meta(description="The `change` that was read (0: there was none): 409 if it is another by now."),
    ] = None


async def list_cards(asked: Asked) -> Page:
    return Page([card_object(card) for card in await manage.list_cards(asked.services.database)], COLUMNS)


async def read_card(asked: Asked) -> object:
    return card_object(await manage.find_card(asked.services.database, asked.id))


async def check_card(asked: Asked) -> object:
    services = asked.services
    verdict = await manage.judge_card(services.database, services.offer, services.registry, _text(asked.body))
    return verdict_object(verdict)


async def put_card(asked: Asked) -> object:
    services, body = asked.services, asked.body
    verdict = await manage.save_card(
        services.database,
        services.offer,
        services.registry,
        asked.id,
        _text(body),
        asked.asker.account_id,
        body.seen_change,
        asked.source,
    )
    await _hear(asked)
    return verdict_object(verdict)


async def remove_card(asked: Asked) -> object:
    services, account = asked.services, asked.asker.account_id
    await manage.remove_card(services.database, services.offer, asked.id, account, asked.source)
    await _hear(asked)
    return {"object": "card", "id": asked.id, "deleted": True}


async def _hear(asked: Asked) -> None:
    """This worker knows at once, the others within a second."""
    hear = asked.services.hear_of_cards
    if hear is not None:
        with suppress(CallError):  # it is on the disk; the next poll brings it
            await hear()


def _text(body: CardText) -> str:
    if (body.text is None) == (body.card is None):
        raise CallError.invalid("give the card as `text` or as `card`, one of the two", param="text")
    return body.text if body.text is not None else written(body.card or {})


def card_object(card: StoredCard) -> dict[str, object]:
    """A card as it was written."""
    return {
        "object": "card",
        "id": card.id,
        "text": card.text,
        "changed_at": as_text(card.changed_at_ms),
        "changed_by": card.changed_by,
        "change": card.change,
    }


def verdict_object(verdict: Verdict) -> dict[str, object]:
    """What a card would do, or did."""
    return {
        "object": "card_check",
        "id": verdict.id,
        "valid": verdict.card is not None,
        "faults": [msgspec.to_builtins(fault) for fault in verdict.faults],
        "is_new": verdict.before is None,
        "change": 0 if verdict.stored is None else verdict.stored.change,
        "changes": [change._asdict() for change in verdict.changes],
        "served_by": [serving._asdict() for serving in verdict.served_by],
        "card": None if verdict.card is None else _facts(verdict.card),
        "forms": None if verdict.card is None else {path: flat(verdict.card, path) for path in PATHS},
    }


def _facts(card: Card) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(card)
    return built


_OF = "Cards"
ROWS = (
    Managed(
        "GET", "/v1/cards", "cards:write", list_cards, _OF, "List the cards written here",
        "Those that come with Modelway, or lie in the folder of `cards`, are not among them.",
        returns="StoredCard", is_page=True,
    ),
    Managed(
        "GET", "/v1/cards/{id}", "cards:write", read_card, _OF, "Show a card as it was written",
        returns="StoredCard", long_id=True,
    ),
    Managed(
        "POST", "/v1/cards/check", "cards:write", check_card, _OF, "Check a card without keeping it",
        "What is wrong with it and in which line; or what it would change, who would serve the model, and "
        "the form it would have.", body=CardText, returns="CardCheck", body_bytes_max=BODY_BYTES_MAX,
    ),
    Managed(
        "PUT", "/v1/cards/{id}", "cards:write", put_card, _OF, "Add or change a card",
        "A card of an id that is known changes only what it states. Every worker has it within a second.",
        body=CardChange, returns="CardCheck", body_bytes_max=BODY_BYTES_MAX, long_id=True,
    ),
    Managed(
        "DELETE", "/v1/cards/{id}", "cards:write", remove_card, _OF, "Remove a card that was written here",
        "What it changed is as before; a model that only it described is one without a card.",
        returns="Deleted", long_id=True,
    ),
)  # fmt: skip
