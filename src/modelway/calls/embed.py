"""A call on `/v1/embeddings`: to a provider whose models make vectors, metered like every other call."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelway.accounts.money import format_usd
from modelway.calls.admit import admitted, authenticate
from modelway.calls.asking import answer_json, ask
from modelway.calls.attempt import ELSEWHERE
from modelway.calls.call import Call, Client, Services, header_value
from modelway.calls.route import route
from modelway.calls.settle import Meter
from modelway.conversation.errors import CallError
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols import embeddings
from modelway.protocols.embeddings import EmbeddingsRequest
from modelway.providers.registry import Target

PATH = "/embeddings"
NAMED_MAX = 5  # models that an error names: enough to choose from, few enough to read


@dataclass(slots=True)
class Embedding:
    """An embeddings request as the meter sees one: it has no conversation, and nothing is streamed."""

    asked: EmbeddingsRequest = field(repr=False)
    model: str = field(init=False)
    body: bytes = field(init=False, repr=False)
    stream: bool = False
    max_output_tokens: int | None = None
    passable: bool = True
    choices: int = 1
    include_usage: bool = True

    def __post_init__(self) -> None:
        self.model, self.body = self.asked.model, self.asked.body

    def conversation(self, translation: Translation) -> Conversation:
        raise CallError("internal", "A text to embed is no conversation")

    def passed(self, model: str, translation: Translation) -> bytes:
        return self.asked.passed(model)

    def prompt_tokens_estimate(self) -> int:
        return max(1, self.asked.input_tokens)


async def serve_embeddings(call: Call, services: Services, client: Client) -> None:
    """`POST /v1/embeddings`. Raises CallError."""
    key = await authenticate(call, services)
    request = Embedding(embeddings.parse(await call.read_body()))
    async with admitted(key, request, call, client, services) as meter:
        targets = [target for target in route(meter.model, services) if _embeds(target)]
        if not targets:
            raise _cannot(request.model, services)
        body = await _first_vectors(targets, request, meter)
        headers = [] if meter.target is None else [_named(meter.target)]
        if meter.usage is not None and meter.usage.estimated:
            headers.append((b"x-modelway-usage", b"estimated"))
        if (cost := meter.cost(meter.usage)) is not None:
            headers.append((b"x-modelway-cost-usd", format_usd(cost).encode()))
        meter.complete = True
        await meter.ready()
        meter.answered(200)
        await answer_json(client, body, headers)


async def _first_vectors(targets: list[Target], request: Embedding, meter: Meter) -> bytes:
    """The answer of the first target that gives one; raises the last one's CallError if none does."""
    last = CallError("unavailable", "No provider is configured for this model")
    for target in targets:
        meter.target = target
        try:
            found = await ask(target, PATH, request.asked.passed(target.model), meter.call, meter.services)
            body, meter.usage = embeddings.write_reply(found, request.asked)
        except CallError as error:
            last = error
            if error.kind.name not in ELSEWHERE:
                raise
            continue
        return body
    raise last


def _embeds(target: Target) -> bool:
    """Anthropic has no embeddings, and the local engine is started for answers alone."""
    return target.provider.protocol != "messages" and not target.provider.is_local


def _cannot(name: str, services: Services) -> CallError:
    able = [model.id for model in services.registry.models if any(_embeds(each) for each in model.targets)]
    hint = (
        f"models whose providers have it are {', '.join(able[:NAMED_MAX])}" if able else "no model here does"
    )
    return CallError.unsupported(f"{name[:100]!r} makes no embeddings; {hint}", param="model")


def _named(target: Target) -> tuple[bytes, bytes]:
    return b"x-modelway-model", header_value(target.name)
