"""What a program asks before it calls: is the gateway alive, ready, and which models are there."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from modelway.api.edge import AsgiClient, Receive, Scope, Send, read_headers
from modelway.calls.admit import authenticate
from modelway.calls.call import Call, Services
from modelway.conversation.errors import CallError
from modelway.providers.registry import Model

PAGE_SIZE, PAGE_SIZE_MAX = 20, 1000  # Anthropic's own; OpenAI's list is not paged
Answer = Callable[[Scope, AsgiClient], Awaitable[None]]


class Discovery:
    """A GET path that answers from memory. `guarded` asks for a key first."""

    def __init__(self, answer: Answer, services: Services, *, guarded: bool) -> None:
        self._answer, self._services, self._guarded = answer, services, guarded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        request_id = services.mint("req_")
        client = AsgiClient(request_id, receive, send)
        try:
            if self._guarded:
                await authenticate(self._call(scope, request_id), services)
            await self._answer(scope, client)
        except CallError as error:
            await client.fail(error, "chat", request_id)

    def _call(self, scope: Scope, request_id: str) -> Call:
        async def nothing() -> bytes:
            return b""

        headers = read_headers(scope["headers"])
        services = self._services
        chat = services.protocols["chat"]
        return Call(request_id, chat, headers, nothing, services.clock(), services.now())


def livez(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        await client.answer(200, {"status": "alive"})

    return answer


def readyz(services: Services, is_ready: Callable[[], Awaitable[bool]]) -> Answer:
    """200 while new calls are welcome: not draining, and the database answers."""

    async def answer(scope: Scope, client: AsgiClient) -> None:
        state = "draining" if services.draining else "ready" if await is_ready() else "database unavailable"
        engine = services.engine.state if services.engine else "off"
        await client.answer(200 if state == "ready" else 503, {"status": state, "local_model": engine})

    return answer


def metrics(services: Services) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        services.metrics.live = services.live
        if services.engine is not None:
            services.metrics.engine_restarts = services.engine.restarts
        data = services.metrics.render()
        content_type = b"text/plain; version=0.0.4; charset=utf-8"
        await client.begin(
            200, [(b"content-type", content_type), (b"content-length", str(len(data)).encode())]
        )
        await client.end(data)

    return answer


def model_list(services: Services) -> Answer:
    """Both vendors' lists in one object; paged only when the caller asks for pages."""

    async def answer(scope: Scope, client: AsgiClient) -> None:
        query = {
            name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()
        }
        entries = [
            _object(services, name, model)
            for model in services.registry.models
            for name in (model.id, *model.aliases)
        ]
        page, more = _page(entries, query)
        ids = [entry["id"] for entry in page]
        body = {
            "object": "list",
            "data": page,
            "has_more": more,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
        await client.answer(200, body)

    return answer


def _page(entries: list[dict[str, object]], query: dict[str, str]) -> tuple[list[dict[str, object]], bool]:
    if not query.keys() & {"limit", "after_id", "before_id"}:
        return entries, False
    text = query.get("limit", str(PAGE_SIZE))
    if not text.isdigit() or not 1 <= int(text) <= PAGE_SIZE_MAX:
        raise CallError.invalid(f"`limit` is {text[:20]!r}; it must be 1 to {PAGE_SIZE_MAX}", param="limit")
    size = int(text)
    ids = [entry["id"] for entry in entries]
    if (after := query.get("after_id")) is not None:
        start = ids.index(after) + 1 if after in ids else len(ids)
        return entries[start : start + size], start + size < len(ids)
    if (before := query.get("before_id")) is not None:
        stop = ids.index(before) if before in ids else 0
        return entries[max(0, stop - size) : stop], stop - size > 0
    return entries[:size], size < len(ids)


def one_model(services: Services, prefix: str) -> Answer:
    async def answer(scope: Scope, client: AsgiClient) -> None:
        name = scope["path"][len(prefix) :]
        await client.answer(200, _object(services, name, services.registry.find(name)))

    return answer


def _object(services: Services, name: str, model: Model) -> dict[str, object]:
    """One model as both SDK families parse it."""
    card = services.catalog.find(model.id) or services.catalog.find(model.targets[0].model)
    released = card.released if card else None
    created = datetime.datetime.combine(released or datetime.date(1970, 1, 1), datetime.time(), datetime.UTC)
    return {
        "id": name,
        "object": "model",
        "created": int(created.timestamp()),
        "owned_by": card.vendor if card else model.targets[0].provider.name,
        "type": "model",
        "display_name": card.name if card else model.id,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "lifecycle": card.lifecycle if card else "active",
        "max_input_tokens": card.context_window_tokens if card else None,
        "max_tokens": card.max_output_tokens if card else None,
    }
