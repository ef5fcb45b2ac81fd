"""What a server keeps of a response so that a later call can go on from it. Pure: storing is elsewhere.

request = expand(parse(body, headers), items_of_the_earlier_response)
… the call is made …
keep(input_items(request) , output_items(reply, translation))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Reply
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses.checks import check_items, kind_of
from modelway.protocols.openai_responses.replies import response_of
from modelway.protocols.openai_responses.wire import ResponsesRequest, with_input

Item = dict[str, Any]


def input_items(request: ResponsesRequest) -> list[Item]:
    """The items to keep of a request: all it was answered from, earlier ones first, as they came."""
    return [dict(item) for item in request.items if kind_of(item) != "item_reference"]


def output_items(reply: Reply, translation: Translation) -> list[Item]:
    """The items of the answer, with the ids the client was given, streamed or not."""
    output: list[Item] = response_of(reply, translation)["output"]
    return output


def references(request: ResponsesRequest) -> tuple[str, ...]:
    """The ids of stored items that the request refers to."""
    return tuple(item["id"] for item in request.items if kind_of(item) == "item_reference")


def expand(
    request: ResponsesRequest,
    earlier_items: Sequence[Item] = (),
    referred: Mapping[str, Item] | None = None,
) -> ResponsesRequest:
    """The request with the earlier turns written out in front, and its references put in their place.

    The result has no `previous_response_id`, so it may be passed to a provider that knows nothing of
    it; the reply still echoes it. Raises `CallError` (404) for a reference that is not in `referred`.
    """
    previous = request.fields.previous_response_id
    items: list[Item] = list(earlier_items)
    paths = [f"previous_response_id.{number}" for number in range(len(items))]
    for item, path in zip(request.items, request.item_paths, strict=True):
        items.append(_referred(item, path, referred or {}))
        paths.append(path)
    check_items(items)
    return replace(with_input(request, items, paths), continues=previous or request.continues)


def _referred(item: Item, path: str, referred: Mapping[str, Item]) -> Item:
    if kind_of(item) != "item_reference":
        return item
    if item["id"] not in referred:
        raise CallError(
            "not_found", f"`{path}` refers to {item['id']!r}, which is not stored here", param=path
        )
    return referred[item["id"]]
