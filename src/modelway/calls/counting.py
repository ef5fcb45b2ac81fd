"""How many tokens a request is: by the provider's own count, by the local engine's, or by ours.

Counting costs nothing, is not recorded, and is never a reason to think ill of a provider: whatever goes
wrong on the way to its count, ours takes its place. Only its word that the body is bad is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec

from modelway.accounts.keys import may_use
from modelway.calls.admit import authenticate
from modelway.calls.asking import answer_json, ask, translation_for
from modelway.calls.call import Call, Client, Services
from modelway.calls.limited import take_count
from modelway.calls.responses import continued
from modelway.conversation.errors import CallError
from modelway.conversation.tokens import COUNTED_CHARACTERS_MAX, count_tokens
from modelway.protocols.anthropic_messages.requests import MessagesRequest, parse_count
from modelway.protocols.interface import Request
from modelway.protocols.openai_responses import ResponsesRequest
from modelway.providers.quirks import tools_as_text
from modelway.providers.registry import Target

ESTIMATED = (b"x-modelway-usage", b"estimated")
PATH = "/messages/count_tokens"
# A count is asked for before every turn; a provider that needs longer is not worth the wait.
COUNT_TIMEOUT_S = 5.0
# What the caller has to change, whoever counts.
THE_CALLERS = ("invalid", "unsupported", "context_length", "too_large")
# What a provider is asked to count, of a body that was written for an answer.
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")


class _Count(msgspec.Struct):
    input_tokens: int


class _Prompt(msgspec.Struct):
    prompt: str


class _Cut(msgspec.Struct):
    tokens: list[int]


_counts, _prompts = msgspec.json.Decoder(_Count), msgspec.json.Decoder(_Prompt)
_cuts = msgspec.json.Decoder(_Cut)


async def serve_message_count(call: Call, services: Services, client: Client) -> None:
    """`POST /v1/messages/count_tokens`. Raises CallError."""
    await authenticate_and_count(call, services, client, of_messages=True)


async def serve_response_count(call: Call, services: Services, client: Client) -> None:
    """`POST /v1/responses/input_tokens`. Raises CallError."""
    await authenticate_and_count(call, services, client, of_messages=False)


async def authenticate_and_count(
    call: Call, services: Services, client: Client, *, of_messages: bool
) -> None:
    key = await authenticate(call, services)
    await take_count(key, call, services)
    body = await call.read_body()
    request: MessagesRequest | ResponsesRequest
    if of_messages:
        request = parse_count(body, call.headers)
    else:
        asked = cast(ResponsesRequest, call.protocol.parse(body, call.headers))
        request, _ = await continued(asked, key, services, stores=False)
    model = services.registry.find(request.model)
    may_use(key, model.id, round(services.now() * 1000))
    count, is_exact = await _count_of(request, model.targets[0], call, services)
    answer: dict[str, object] = {"input_tokens": count}
    if not of_messages:
        answer = {"object": "response.input_tokens", **answer}
    await answer_json(client, msgspec.json.encode(answer), [] if is_exact else [ESTIMATED])


async def _count_of(request: Request, target: Target, call: Call, services: Services) -> tuple[int, bool]:
    """The count, and whether it is the one that will be billed."""
    provider = target.provider
    ways: dict[bool, Callable[[Request, Target, Call, Services], Awaitable[int]]] = {
        provider.protocol == "messages": _providers_count,
        provider.is_local: _local_count,
    }
    if way := ways.get(True):
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                count = await way(request, target, call, services)
            if count > 0:
                return count, True
        except CallError as error:
            if error.kind.name in THE_CALLERS:
                raise
        except (TimeoutError, msgspec.MsgspecError):
            pass
    return await _estimate(request, target, call, services), False


async def _providers_count(request: Request, target: Target, call: Call, services: Services) -> int:
    body = _question(request, target, call, services)
    return _counts.decode(await ask(target, PATH, body, call, services)).input_tokens


async def _local_count(request: Request, target: Target, call: Call, services: Services) -> int:
    """The engine's own: the prompt that its template makes of the call, cut by the model's vocabulary."""
    translation = translation_for(target, request.model, call, services, "chat")
    conversation = tools_as_text(request.conversation(translation), services.mint).conversation
    body = services.protocols["chat"].write_request(conversation, translation)
    prompt = _prompts.decode(await ask(target, "/apply-template", body, call, services)).prompt
    asked = msgspec.json.encode({"content": prompt, "add_special": True, "parse_special": True})
    return len(_cuts.decode(await ask(target, "/tokenize", asked, call, services)).tokens)


def _question(request: Request, target: Target, call: Call, services: Services) -> bytes:
    """The body of a provider's own count."""
    translation = translation_for(target, request.model, call, services, "messages")
    if isinstance(request, MessagesRequest) and request.passable:
        return request.passed(target.model, translation)
    conversation = request.conversation(translation)
    written = services.protocols["messages"].write_request(conversation, translation)
    members = msgspec.json.decode(written, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({name: members[name] for name in _COUNTED if name in members})


async def _estimate(request: Request, target: Target, call: Call, services: Services) -> int:
    upstream = target.provider.protocol
    conversation = request.conversation(translation_for(target, request.model, call, services, upstream))
    if len(request.body) > COUNTED_CHARACTERS_MAX:  # tens of milliseconds, for which others would wait
        return await asyncio.to_thread(count_tokens, conversation)
    return count_tokens(conversation)
