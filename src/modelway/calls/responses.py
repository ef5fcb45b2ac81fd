"""A call on `/v1/responses`: what it goes on from is written out, what it makes is kept, on any upstream.

The provider never learns of our state: it is sent whole conversations, and asked for no background runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec
from msgspec import structs

from modelway.accounts.keys import Key
from modelway.calls.admit import admitted, authenticate
from modelway.calls.attempt import first_answer
from modelway.calls.background import Guest, Nobody, Run
from modelway.calls.call import Call, Client, Services
from modelway.calls.check import received
from modelway.calls.keeping import Item, Keeper, Keeping
from modelway.calls.relay import JSON, relay
from modelway.calls.route import route
from modelway.conversation.errors import CallError
from modelway.conversation.request import Conversation, StateSpec
from modelway.conversation.translation import Translation
from modelway.protocols.openai_responses import ResponsesRequest, expand, references, without
from modelway.store import responses
from modelway.store.responses import ID_CHARACTERS_MAX, StoredResponse

# Ids of items we name, as OpenAI names them.
_ID_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "reasoning": "rs_",
}
# Items of these kinds are the client's own words: their id names them here and means nothing elsewhere.
_SPOKEN = ("function_call_output", "custom_tool_call_output")


@dataclass(slots=True)
class KeptRequest:
    """A Responses request whose state is the gateway's affair, not the provider's."""

    inner: ResponsesRequest = field(repr=False)
    stores: bool
    model: str = field(init=False)
    stream: bool = field(init=False)
    max_output_tokens: int | None = field(init=False)
    body: bytes = field(init=False, repr=False)
    passable: bool = field(init=False)
    choices: int = 1
    include_usage: bool = True

    def __post_init__(self) -> None:
        inner = self.inner
        self.model, self.stream, self.body = inner.model, inner.stream, inner.body
        self.max_output_tokens, self.passable = inner.max_output_tokens, inner.passable

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form; its `store` says whether we keep the answer, which the reply repeats."""
        return structs.replace(self.inner.conversation(translation), state=StateSpec(store=self.stores))

    def passed(self, model: str, translation: Translation) -> bytes:
        return self.inner.passed(model, translation)

    def prompt_tokens_estimate(self) -> int:
        return self.inner.prompt_tokens_estimate()


async def serve_response(call: Call, services: Services, client: Client) -> None:
    """Answer a call on `/v1/responses`. Raises CallError until the first byte went out."""
    key = await authenticate(call, services)
    asked = cast(ResponsesRequest, await received(call, services))
    _check(asked)
    stores, in_background = asked.fields.store is not False, bool(asked.fields.background)
    if not stores and not in_background and not asked.fields.previous_response_id and not references(asked):
        await _answer(key, KeptRequest(asked, False), call, services, client)
        return
    request, keeping = await continued(asked, key, services, stores=stores)
    kept = KeptRequest(without(request, "background"), stores)
    kept.passable = kept.passable and asked.passable  # what was mended in it stays so
    if in_background:
        await _in_background(key, kept, call, services, client, keeping)
        return
    await _answer(key, kept, call, services, Keeper(client, keeping, services, stream=kept.stream))


async def _answer(
    key: Key,
    request: KeptRequest,
    call: Call,
    services: Services,
    client: Client,
    admitted_then: Callable[[], Awaitable[None]] | None = None,
) -> None:
    async with admitted(key, request, call, client, services) as meter:
        if admitted_then is not None:
            await admitted_then()
        with await first_answer(route(meter.model, services), request, meter) as answer:
            await relay(answer, meter, client)


async def _in_background(
    key: Key, request: KeptRequest, call: Call, services: Services, client: Client, keeping: Keeping
) -> None:
    """Start the run; answer at once, or stream what it says for as long as the client listens."""
    keeping = replace(keeping, background=True)
    listener: Guest | Nobody = Guest(client) if request.stream else Nobody()
    id = "" if request.stream else services.mint("resp_")
    call.reply_id = id
    keeper = Keeper(listener, keeping, services, stream=request.stream, id=id)

    async def answer(admitted_then: Callable[[], Awaitable[None]]) -> None:
        await _answer(key, request, call, services, keeper, admitted_then)

    run = Run(answer, keeper, listener, key.account_id, services)
    if request.stream:
        await run.start(None)
        await run.whole()
        return
    queued = _queued(id, request, keeping)
    await run.start(queued)
    await client.begin(200, [JSON, (b"content-length", str(len(queued)).encode())])
    await client.end(queued)


def _check(asked: ResponsesRequest) -> None:
    fields = asked.fields
    if bytes(fields.conversation) not in (b"", b"null"):
        raise CallError.unsupported(
            "`conversation` objects are not kept here; use `previous_response_id`, or send the items",
            param="conversation",
        )
    if fields.background and fields.store is False:
        raise CallError.invalid(
            "`background` is true and `store` false; a response that is not stored could not be asked for",
            param="background",
        )


async def continued(
    asked: ResponsesRequest, key: Key, services: Services, *, stores: bool
) -> tuple[ResponsesRequest, Keeping]:
    """The request with everything it refers to written out, and what is to be kept of it.

    Raises CallError: 404 for a response or item the account does not have, 400 for one that is not over.
    """
    now_ms = round(services.now() * 1000)
    previous, referred_ids = asked.fields.previous_response_id, references(asked)
    links = await _chain(previous, key, services, now_ms) if previous else []
    earlier = [item for link in links for item in items_of(link)]
    referred: dict[str, Item] = {}
    if referred_ids:
        found = await services.database.read(
            lambda connection: responses.holding(connection, key.account_id, referred_ids, now_ms)
        )
        referred = {item["id"]: item for row in found for item in items_of(row) if "id" in item}
    request = asked
    if links or referred_ids:
        sent = {item_id: _as_sent(item) for item_id, item in referred.items()}
        request = expand(asked, [_as_sent(item) for item in earlier], sent)
    own = request.items[len(earlier) :]
    keeping = Keeping(
        account_id=key.account_id,
        key_id=key.id,
        created_at_ms=now_ms,
        items=[named(item, services.mint) for item in own] if stores else (),
        earlier=earlier,
        chain_ids=tuple(link.id for link in links),
        stores=stores,
    )
    return request, keeping


async def _chain(previous: str, key: Key, services: Services, now_ms: int) -> Sequence[StoredResponse]:
    links = None
    if len(previous) <= ID_CHARACTERS_MAX:
        links = await services.database.read(
            lambda connection: responses.chain(connection, key.account_id, previous, now_ms)
        )
    if links is None:
        raise not_stored(previous, param="previous_response_id")
    if links[-1].is_live:
        raise CallError.invalid(
            f"The response {previous!r} is {links[-1].status}; go on from it when it is over",
            param="previous_response_id",
            code="response_not_finished",
        )
    return links


def not_stored(response_id: str, param: str | None = None) -> CallError:
    """The one 404: of another account, deleted, expired and never issued are told apart by nobody."""
    shown = response_id[:ID_CHARACTERS_MAX]
    return CallError("not_found", f"There is no response {shown!r} here", param=param)


def items_of(row: StoredResponse) -> list[Item]:
    """What a response adds to a conversation: its own input, then its output."""
    output = msgspec.json.decode(row.response).get("output")
    return [*msgspec.json.decode(row.input), *(item for item in output or () if isinstance(item, dict))]


def named(item: Item, mint: Callable[[str], str]) -> Item:
    """An input item with an id, by which it can be listed and referred to."""
    if isinstance(item.get("id"), str) and item["id"]:
        return item
    kind = str(item.get("type") or "message")
    return {**item, "id": mint(_ID_PREFIXES.get(kind, "item_"))}


def _as_sent(item: Item) -> Item:
    """A stored item as a provider is sent it: without the id that only we know."""
    spoken = item.get("type") in _SPOKEN or item.get("role") in ("user", "system", "developer")
    return {name: value for name, value in item.items() if name != "id"} if spoken else item


def _queued(id: str, request: KeptRequest, keeping: Keeping) -> bytes:
    """The first object of a background run: what was asked, and nothing yet in answer."""
    asked: dict[str, Any] = msgspec.json.decode(request.inner.body)
    echoed = (
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "reasoning",
        "service_tier",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_p",
        "truncation",
        "user",
    )
    defaults: dict[str, Any] = {
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
    }
    return msgspec.json.encode(
        {
            "id": id,
            "object": "response",
            "created_at": keeping.created_at_ms // 1000,
            "status": "queued",
            "background": True,
            "error": None,
            "incomplete_details": None,
            "model": request.model,
            "output": [],
            "previous_response_id": keeping.previous_id,
            "store": True,
            "usage": None,
            **defaults,
            **{name: asked[name] for name in echoed if asked.get(name) is not None},
        }
    )
