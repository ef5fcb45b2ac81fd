"""One whole question to a provider, beside its main path: embeddings, a count of tokens."""

from __future__ import annotations

from modelway.calls.attempt import refusal
from modelway.calls.call import Call, Client, Services
from modelway.calls.relay import JSON
from modelway.conversation.errors import CallError
from modelway.conversation.translation import Translation
from modelway.protocols.interface import ProtocolName
from modelway.providers.credentials import headers_for
from modelway.providers.registry import Target


async def ask(target: Target, path: str, body: bytes, call: Call, services: Services) -> bytes:
    """POST `body` to `path` beside the provider's own (at the root of the local engine); its whole answer.

    Raises CallError.
    """
    provider = target.provider
    headers = headers_for(provider, call.protocol.name, call.headers)
    if provider.is_local:
        if services.engine is None:
            raise CallError("unavailable", "The local model is switched off here (engine.start is `never`)")
        engine = await services.engine.address()
        headers["authorization"] = f"Bearer {engine.api_key}"
        url = engine.base_url + path
    else:
        url = provider.url(path)
    upstream = await services.upstreams.open(url, body, headers)
    try:
        if upstream.status >= 300:
            raise await refusal(upstream)
        return await upstream.read_all()
    finally:
        upstream.close()


def translation_for(
    target: Target, model_asked: str, call: Call, services: Services, upstream: ProtocolName
) -> Translation:
    """What readers and writers need for a question of this kind."""
    return Translation(
        client=call.protocol.name,
        upstream=upstream,
        model_asked=model_asked,
        mint=services.mint,
        now_s=call.began_at_ms // 1000,
        capabilities=target.capabilities,
        vendor=target.provider.vendor,
        strict=call.strict,
        extensions=call.extensions,
        envelope_secret=services.envelope_secret,
        request_id=call.id,
        model_answered=target.model,
    )


async def answer_json(client: Client, body: bytes, more: list[tuple[bytes, bytes]]) -> None:
    """A whole answer with status 200."""
    await client.begin(200, [JSON, (b"content-length", str(len(body)).encode()), *more])
    await client.end(body)
