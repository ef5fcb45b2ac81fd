"""The models as programs ask for them: the list, one of them, its form, and which take a given body."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import msgspec

from modelway.accounts.keys import Key, allows, may_use
from modelway.api.discovery import Answer
from modelway.api.edge import AsgiClient, Scope
from modelway.api.endpoint import KEY
from modelway.calls.call import Services
from modelway.calls.check import card_of, violation_object
from modelway.catalog.capabilities import PATHS, Path
from modelway.catalog.forms import flat, form_schema
from modelway.catalog.listing import model_object, models_object
from modelway.catalog.samples import request_example
from modelway.catalog.validation import first_violation
from modelway.conversation.errors import CallError
from modelway.protocols.members import DEPTH_MAX, depth_exceeds
from modelway.providers.registry import Model

PAGE_SIZE, PAGE_SIZE_MAX = 20, 1000  # Anthropic's own; OpenAI's list is not paged
# A body is held against every model in a thread, which takes the interpreter from live streams in turns of
# 5 ms; several at once would take it for longer.
LOOKS_AT_ONCE = 1
FORM = "/form_schema"
Query = dict[str, str]


def model_list(services: Services) -> Answer:
    """Both vendors' lists in one object; paged only when the caller asks for pages.

    `accepts` (a JSON body) leaves only the models that take exactly it on `path` (chat by default).
    """

    one_at_a_time = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def answer(scope: Scope, client: AsgiClient) -> None:
        query, key = query_of(scope), scope[KEY]
        if "accepts" in query:
            body, path = query["accepts"].encode(), path_of(query)
            async with one_at_a_time:
                found = await asyncio.to_thread(accepting, services, key, body, path)
            await client.answer(200, found)
            return
        entries = [entry(services, name, model) for name, model in _named(services) if allows(key, model.id)]
        page, more = _page(entries, query)
        await client.answer(200, models_object(page, has_more=more))

    return answer


def one_model(services: Services, prefix: str) -> Answer:
    """One model with its flat form and a request example; `…/form_schema` is the form alone."""

    async def answer(scope: Scope, client: AsgiClient) -> None:
        asked, path = scope["path"][len(prefix) :], path_of(query_of(scope))
        name = asked.removesuffix(FORM)
        model = services.registry.find(name)
        may_use(scope[KEY], model.id, round(services.now() * 1000))
        if asked.endswith(FORM):
            await client.answer(200, form_object(services, name, path))
        else:
            await client.answer(200, entry(services, name, model, path=path))

    return answer


def form_object(services: Services, name: str, path: Path) -> dict[str, Any]:
    """The JSON Schema of a request to this model, the same as a flat list, and a first request."""
    card = card_of(services.registry.find(name))
    return {
        "object": "form_schema",
        "model": name,
        "path": path,
        "schema": form_schema(card, path),
        "form_schema": flat(card, path),
        "request_example": {**request_example(card, path), "model": name},
    }


def entry(services: Services, name: str, model: Model, *, path: Path | None = None) -> dict[str, Any]:
    """The model object of one of a model's names; with a `path`, form and example are in it."""
    listed = model_object(card_of(model), name, path=path)
    if path is not None:
        listed["request_example"] = {**listed["request_example"], "model": name}
    return listed


def accepting(services: Services, key: Key, body: bytes, path: Path) -> dict[str, Any]:
    """The models that take exactly `body`, and for each of the others the first thing they refuse; of those
    that `key` may use.
    """
    asked = decoded_object(body, "accepts")
    takers, others = [], []
    for model in services.registry.models:
        if not allows(key, model.id):
            continue
        card = card_of(model)
        first = first_violation(card, path, {**asked, "model": model.id})
        if first is None:
            takers.append(entry(services, model.id, model))
        else:
            others.append({"id": model.id, "violations": [violation_object(first)]})
    return {**models_object(takers), "refused_by": others}


def decoded_object(body: bytes, param: str) -> dict[str, Any]:
    """`body` as a JSON object; raises 400."""
    try:
        value = msgspec.json.decode(body)
        deep = depth_exceeds(body, DEPTH_MAX)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallError.invalid(f"`{param}` is not JSON: {error}", param=param) from None
    if deep:
        raise CallError.invalid(f"`{param}` nests deeper than {DEPTH_MAX} levels", param=param)
    if not isinstance(value, dict):
        raise CallError.invalid(f"`{param}` must be a JSON object: a request body", param=param)
    return value


def query_of(scope: Scope) -> Query:
    return {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}


def path_of(query: Query) -> Path:
    """The protocol a form is asked for, `?path=chat`; raises 400 for another word."""
    asked = query.get("path", "chat")
    for path in PATHS:
        if path == asked:
            return path
    raise CallError.invalid(f"`path` is {asked[:20]!r}; it may be one of {', '.join(PATHS)}", param="path")


def _named(services: Services) -> list[tuple[str, Model]]:
    return [(name, model) for model in services.registry.models for name in (model.id, *model.aliases)]


def _page(entries: list[dict[str, Any]], query: Query) -> tuple[list[dict[str, Any]], bool]:
    if not query.keys() & {"limit", "after_id", "before_id"}:
        return entries, False
    text = query.get("limit", str(PAGE_SIZE))
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= PAGE_SIZE_MAX:
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
