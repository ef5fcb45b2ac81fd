"""Bodies that are looked at and never sent: is this request right, and which models take exactly it?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from modelway.accounts.keys import Key, may_use
from modelway.api.edge import AsgiClient, Body, BodyLimits, Receive, Scope
from modelway.api.endpoint import Endpoint, no_body
from modelway.api.models import LOOKS_AT_ONCE, Query, accepting, decoded_object, path_of, query_of
from modelway.calls.admit import authenticate
from modelway.calls.call import Services
from modelway.calls.check import card_of, repair_object, violation_object
from modelway.catalog.capabilities import Path
from modelway.catalog.validation import apply, repairs, validate
from modelway.conversation.errors import CallError
from modelway.conversation.translation import Translation
from modelway.providers.registry import Model

# For `POST /v1/models`, where a body is held against every model: a conversation of 60 thousand words.
TAKERS_BODY_BYTES_MAX = 256 * 1024

Look = Callable[[Services, Key, bytes, Query, bool], dict[str, Any]]


class Looking(Endpoint):
    """A guarded POST whose body is judged in memory. `look` makes the answer, in a thread: a long body
    against many models takes a while, and live streams go on meanwhile.
    """

    def __init__(self, look: Look, services: Services, limits: BodyLimits) -> None:
        super().__init__(services.protocols["chat"], services)
        self._look, self._limits = look, limits
        self._one_at_a_time = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        services, call = self._services, self.call(scope, no_body, request_id)
        key = await authenticate(call, services)
        body = await Body(receive, call.headers, self._limits).read()
        query = query_of(scope)
        async with self._one_at_a_time:
            answer = await asyncio.to_thread(self._look, services, key, body, query, call.strict)
        await client.answer(200, answer)


def look_for_takers(services: Services, key: Key, body: bytes, query: Query, strict: bool) -> dict[str, Any]:
    """`POST /v1/models`: the models that take exactly this body."""
    return accepting(services, key, body, path_of(query))


def look_over(services: Services, key: Key, body: bytes, query: Query, strict: bool) -> dict[str, Any]:
    """`POST /v1/validate`: what a call with this body would say, without calling anything.

    The body is a request's body as it stands; `?path=` says for which path (chat by default).
    """
    asked, path = decoded_object(body, "body"), path_of(query)
    name = asked.get("model")
    if not isinstance(name, str):
        raise CallError.invalid(
            "`model` is missing; give a model's id, as GET /v1/models lists them", param="model"
        )
    model = services.registry.find(name)
    may_use(key, model.id, round(services.now() * 1000))
    card = card_of(model)
    violations = [violation_object(each) for each in validate(card, path, asked, strict=strict)]
    # What no card says (a tool without a name, a part of an unknown type) the protocol does.
    violations = violations or _protocol_violations(services, model, body, path)
    changes = repairs(card, path, asked)
    sent = {**apply(asked, changes), "model": name} if changes and not violations else None
    return {
        "object": "validation",
        "model": name,
        "path": path,
        "valid": not violations,
        "violations": violations,
        "warnings": [] if strict else [repair_object(change) for change in changes],
        "sent_as": _shown_parameters(sent),
    }


def _protocol_violations(services: Services, model: Model, body: bytes, path: Path) -> list[dict[str, Any]]:
    """What the call's own parser refuses; content is read only where a call would translate it."""
    upstream = model.targets[0].provider.protocol
    try:
        request = services.protocols[path].parse(body, {})
        if upstream != path or not request.passable:
            now_s = round(services.now())
            request.conversation(Translation(path, upstream, request.model, services.mint, now_s))
    except CallError as error:
        return [{"param": error.param, "rule": error.code, "message": error.message}]
    return []


def _shown_parameters(body: dict[str, Any] | None) -> dict[str, Any] | None:
    """The parameters after repair; the conversation itself, which may be long, is not echoed."""
    if body is None:
        return None
    return {name: value for name, value in body.items() if name not in ("messages", "input", "prompt")}
