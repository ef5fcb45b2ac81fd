"""What a program asks of a response that is stored: itself, its input, its end. None of it costs anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelway.accounts.keys import Key
from modelway.calls.background import failed_object, with_status
from modelway.calls.call import Services
from modelway.calls.keeping import Item
from modelway.calls.responses import items_of, not_stored
from modelway.conversation.errors import CallError
from modelway.store import responses
from modelway.store.responses import ID_CHARACTERS_MAX, StoredResponse

PAGE_ITEMS, PAGE_ITEMS_MAX = 20, 100  # OpenAI's own
_ORDERS = ("asc", "desc")


async def retrieve(key: Key, response_id: str, services: Services) -> bytes:
    """The response object. Raises 404."""
    return (await _found(key, response_id, services)).response


async def _found(key: Key, response_id: str, services: Services) -> StoredResponse:
    now_ms = round(services.now() * 1000)
    row = None
    if len(response_id) <= ID_CHARACTERS_MAX:
        row = await services.database.read(
            lambda connection: responses.find(connection, key.account_id, response_id, now_ms)
        )
    if row is None:
        raise not_stored(response_id)
    return await _ended(row, services) if row.has_lapsed(now_ms) else row


async def _ended(row: StoredResponse, services: Services) -> StoredResponse:
    """A run whose worker died: whoever looks first writes down that it failed."""
    why = CallError("internal", "The worker that made this response ended before it did")
    failed = row._replace(status="failed", response=failed_object(row.response, why))
    await services.database.write(lambda connection: responses.finish(connection, failed, ()))
    return failed


async def remove(key: Key, response_id: str, services: Services) -> dict[str, object]:
    """Delete it for good; a run in the background finds out and stops. Raises 404."""
    now_ms = round(services.now() * 1000)
    gone = len(response_id) <= ID_CHARACTERS_MAX and await services.database.write(
        lambda connection: responses.remove(connection, key.account_id, response_id, now_ms)
    )
    if not gone:
        raise not_stored(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def cancel(key: Key, response_id: str, services: Services) -> bytes:
    """Cancel a background run, whichever worker has it; one that is over is given back as it is."""
    row = await _found(key, response_id, services)
    if not msgspec.json.decode(row.response).get("background"):
        raise CallError.invalid(
            f"The response {response_id!r} was not made with `background`; only those can be cancelled",
            param="response_id",
        )
    if not row.is_live:
        return row.response
    cancelled = row._replace(status="cancelled", response=with_status(row.response, "cancelled"))
    won = await services.database.write(lambda connection: responses.finish(connection, cancelled, ()))
    return cancelled.response if won else (await _found(key, response_id, services)).response


async def input_items(
    key: Key, response_id: str, query: Mapping[str, str], services: Services
) -> dict[str, object]:
    """A page of what the response was answered from, newest first unless `order` says otherwise.

    `after` is the id of the last item of the page before. What earlier responses of the chain said comes
    with it as far as they are still there.
    """
    size, order = _page(query)
    row = await _found(key, response_id, services)
    items = [_listed(item) for item in await _all_items(key, row, services)]
    if order == "desc":
        items.reverse()
    if (after := query.get("after")) is not None:
        ids = [item.get("id") for item in items]
        if after not in ids:
            raise CallError.invalid(
                f"`after` is {after[:80]!r}, which is no item of this list", param="after"
            )
        items = items[ids.index(after) + 1 :]
    page = items[:size]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0].get("id") if page else None,
        "last_id": page[-1].get("id") if page else None,
        "has_more": len(items) > size,
    }


def _page(query: Mapping[str, str]) -> tuple[int, str]:
    text, order = query.get("limit", str(PAGE_ITEMS)), query.get("order", "desc")
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= PAGE_ITEMS_MAX:
        raise CallError.invalid(f"`limit` is {text[:20]!r}; it must be 1 to {PAGE_ITEMS_MAX}", param="limit")
    if order not in _ORDERS:
        raise CallError.invalid(f"`order` is {order[:20]!r}; it must be asc or desc", param="order")
    return int(text), order


async def _all_items(key: Key, row: StoredResponse, services: Services) -> list[Item]:
    own: list[Item] = msgspec.json.decode(row.input)
    previous, now_ms = row.previous_id, round(services.now() * 1000)
    if previous is None:
        return own
    links = await services.database.read(
        lambda connection: responses.chain(connection, key.account_id, previous, now_ms)
    )
    return [*(item for link in links or () for item in items_of(link)), *own]


def _listed(item: Item) -> Item:
    """An item in OpenAI's full form: a message says that it is one, and its text is a part."""
    if "role" not in item:
        return item
    content: Any = item.get("content")
    if isinstance(content, str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        part: Item = {"type": kind, "text": content}
        content = [{**part, "annotations": []} if kind == "output_text" else part]
    return {"type": "message", "status": "completed", **item, "content": content}
