"""What the crossings start from: every recording, every pair of protocols, and the clients' own SDKs.

The SDKs read the bytes we write from a transport in memory: their parsing, their helpers, no network.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from anthropic import Anthropic
from openai import OpenAI

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.events import Event, Failed
from modelway.conversation.parts import Reasoning, Refusal, Text, ToolCall
from modelway.conversation.reply import Reply
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import MESSAGES
from modelway.protocols.interface import WireProtocol
from modelway.protocols.openai_chat import CHAT
from modelway.protocols.openai_responses import RESPONSES

RECORDINGS = Path(__file__).parents[1] / "recordings"
PROTOCOLS: dict[str, WireProtocol] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
VENDORS = {"chat": "other", "messages": "anthropic", "responses": "openai"}
PAIRS = list(itertools.product(PROTOCOLS, PROTOCOLS))
CROSSINGS = [(client, upstream) for client, upstream in PAIRS if client != upstream]

Json = dict[str, Any]
# What a client asks; its stream wants usage, as every SDK's own helper does.
ASKED: dict[str, Json] = {
    "chat": {"model": "the/alias", "messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"model": "the/alias", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]},
    "responses": {"model": "the/alias", "input": "Hi", "store": False},
}


def recordings(upstream: str, suffix: str) -> list[str]:
    """Names of the recorded answers of a protocol, without their suffix."""
    found = (RECORDINGS / upstream).glob(f"*{suffix}")
    return sorted(
        path.stem for path in found if not path.stem.startswith(("request", "error_con", "error_rate"))
    )


def recording(upstream: str, name: str) -> bytes:
    return (RECORDINGS / upstream / name).read_bytes()


def translation(
    client: str,
    upstream: str,
    *,
    capabilities: Capabilities = ANY_MODEL,
    strict: bool = False,
    vendor: str | None = None,
    **asked: Any,
) -> Translation:
    """A translation whose ids count up and whose clock stands still, of a call that asks `asked`."""
    numbers = itertools.count(1)
    made = Translation(
        client=client,
        upstream=upstream,
        model_asked="the/alias",
        mint=lambda prefix: f"{prefix}{next(numbers):024}",
        now_s=1_763_600_123,
        capabilities=capabilities,
        vendor=VENDORS[upstream] if vendor is None else vendor,
        strict=strict,
        envelope_secret=b"secret of these tests",
        request_id="req_crossing",
        prompt_tokens_estimate=7,
    )
    made.asked = conversation(client, made, **asked)
    return made


def conversation(client: str, shared: Translation, **asked: Any) -> Conversation:
    """What a client of this protocol asks, in the neutral form."""
    body = {name: value for name, value in {**ASKED[client], **asked}.items() if value is not None}
    return PROTOCOLS[client].parse(json.dumps(body).encode(), {}).conversation(shared)


def events(upstream: str, name: str, shared: Translation) -> list[Event]:
    reader = PROTOCOLS[upstream].reader(shared)
    return [*reader.read(recording(upstream, f"{name}.sse")), *reader.end()]


def is_whole(seen: list[Event]) -> bool:
    return not isinstance(seen[-1], Failed)


@dataclass(frozen=True)
class Told:
    """What an answer says, whatever the protocol: text (refusals too), thinking, calls by name and input."""

    text: str
    thinking: str
    calls: tuple[tuple[str, str], ...]


DECLINED = "The model declined this request."


def told_by_reply(reply: Reply, client: str = "messages") -> Told:
    """What a client of this protocol must hear of it: OpenAI's two have a text for every refusal."""
    texts = [part.text for part in reply.parts if isinstance(part, Text | Refusal)]
    thoughts = [part.text or "".join(part.summaries) for part in reply.parts if isinstance(part, Reasoning)]
    calls = tuple((part.name, said(part.arguments)) for part in reply.parts if isinstance(part, ToolCall))
    refused = any(isinstance(part, Refusal) for part in reply.parts)
    if reply.stop.reason == "refusal" and not refused and client != "messages":
        texts.append(reply.stop.detail or DECLINED)
    return Told("".join(texts), _squeezed("".join(thoughts)), calls)


def said(arguments: Any) -> str:
    """Arguments in one spelling: protocols keep them as text or as an object, and wrap what is neither."""
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        value = arguments
    for wrapper in ("_raw", "input"):
        if isinstance(value, dict) and list(value) == [wrapper]:
            value = value[wrapper]
    return json.dumps(value if value != "" else {})


def _squeezed(text: str) -> str:
    """Summaries are joined by a blank line where a protocol has one text for them."""
    return "".join(text.split())


def _told_by_chat(completion: Any) -> Told:
    message = completion.choices[0].message
    calls = [_chat_call(call.model_dump()) for call in message.tool_calls or ()]
    thinking = getattr(message, "reasoning_content", None) or ""
    return Told((message.content or "") + (message.refusal or ""), _squeezed(thinking), tuple(calls))


def _chat_call(call: Json) -> tuple[str, str]:
    """The SDK's stream helper has no class for custom calls and keeps them as they came."""
    inside = call.get("function") or call["custom"]
    return inside["name"], said(inside.get("arguments", inside.get("input")))


def _told_by_messages(message: Any) -> Told:
    texts = [block.text for block in message.content if block.type == "text"]
    thoughts = [block.thinking for block in message.content if block.type == "thinking"]
    calls = [(block.name, said(block.input)) for block in message.content if block.type == "tool_use"]
    return Told("".join(texts), _squeezed("".join(thoughts)), tuple(calls))


def _told_by_responses(response: Any) -> Told:
    texts, thoughts, calls = [], [], []
    for item in response.output:
        if item.type == "message":
            texts += [part.text if part.type == "output_text" else part.refusal for part in item.content]
        elif item.type == "reasoning":
            written = [part.text for part in item.content or ()]
            thoughts += written or [part.text for part in item.summary]
        elif item.type == "function_call":
            calls.append((item.name, said(item.arguments)))
        elif item.type == "custom_tool_call":
            calls.append((item.name, said(item.input)))
    return Told("".join(texts), _squeezed("".join(thoughts)), tuple(calls))


def _transport(body: bytes, content_type: str) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=body)

    return httpx.Client(transport=httpx.MockTransport(answer))


def _openai(body: bytes, content_type: str) -> OpenAI:
    client = _transport(body, content_type)
    return OpenAI(api_key="k", base_url="http://gateway/v1", http_client=client, max_retries=0)


def _anthropic(body: bytes, content_type: str) -> Anthropic:
    client = _transport(body, content_type)
    return Anthropic(api_key="k", base_url="http://gateway", http_client=client, max_retries=0)


STREAM, WHOLE = "text/event-stream", "application/json"


def _chat_stream(body: bytes) -> Any:
    asked: Any = ASKED["chat"]
    with _openai(body, STREAM).chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        return stream.current_completion_snapshot


def _messages_stream(body: bytes) -> Any:
    asked: Any = ASKED["messages"]
    with _anthropic(body, STREAM).messages.stream(**asked) as stream:
        return stream.get_final_message()


def _responses_stream(body: bytes) -> Any:
    """The last event's response; the helper's own, which refuses incomplete ones, must agree with it."""
    asked: Any = ASKED["responses"]
    last: Any = None
    with _openai(body, STREAM).responses.stream(**asked) as stream:
        for event in stream:
            last = event
        assert last is not None, "the stream is empty"
        if last.type == "response.completed":
            assert stream.get_final_response().output_text == last.response.output_text
    assert last.type in ("response.completed", "response.incomplete"), last
    return last.response


def _chat_whole(body: bytes) -> Any:
    asked: Any = ASKED["chat"]
    return _openai(body, WHOLE).chat.completions.create(**asked)


def _messages_whole(body: bytes) -> Any:
    asked: Any = ASKED["messages"]
    return _anthropic(body, WHOLE).messages.create(**asked)


def _responses_whole(body: bytes) -> Any:
    asked: Any = ASKED["responses"]
    return _openai(body, WHOLE).responses.create(**asked)


SDK_STREAM: dict[str, Callable[[bytes], Any]] = {
    "chat": _chat_stream,
    "messages": _messages_stream,
    "responses": _responses_stream,
}
SDK_WHOLE: dict[str, Callable[[bytes], Any]] = {
    "chat": _chat_whole,
    "messages": _messages_whole,
    "responses": _responses_whole,
}
_TOLD: dict[str, Callable[[Any], Told]] = {
    "chat": _told_by_chat,
    "messages": _told_by_messages,
    "responses": _told_by_responses,
}


def told_by(client: str, answer: Any) -> Told:
    """What the SDK's own object says."""
    return _TOLD[client](answer)


def codes(shared: Translation) -> list[str]:
    return [warning.code for warning in shared.warnings]
