"""The local model asked directly on its three endpoints, and the same through our translation.

llama.cpp's own `/v1/messages` and `/v1/responses` know nothing of ours: whatever they make of a prompt is
what our translation to its Chat endpoint has to make of it too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

from modelway.engine.leadership import EngineAddress
from modelway.engine.process import Engine
from modelway.engine.settings import EngineSettings
from modelway.engine.weights import find_or_fetch
from modelway.protocols.openai_chat import CHAT
from tests.crossing.given import PROTOCOLS, translation

Json = dict[str, Any]
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
WAIT_S = 60  # a few tokens take a second; a busy machine may take many times that


@contextmanager
def one_slot_engine(data_dir: Path) -> Iterator[EngineAddress]:
    """One thread, one slot: the same prompt gives the same text each time."""
    settings = EngineSettings(
        model_path=find_or_fetch(data_dir, None),
        data_dir=data_dir,
        threads=1,
        slots=1,
        context_tokens=1024,
        wait_s=WAIT_S,
    )
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    engine = Engine(settings)
    try:
        yield asyncio.run_coroutine_threadsafe(engine.address(), loop).result(WAIT_S)
    finally:
        asyncio.run_coroutine_threadsafe(engine.stop(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


def directly(engine: EngineAddress, protocol: str, asked: Json) -> str:
    """What the engine's own endpoint of `protocol` says to `asked`, read without any code of ours."""
    body = _post(engine, PATHS[protocol], json.dumps(asked).encode())
    return _SAID[protocol, bool(asked.get("stream"))](body)


def translated(engine: EngineAddress, protocol: str, asked: Json) -> str:
    """The same through us: to the engine's Chat endpoint and back, read as the client's protocol says."""
    shared = translation(protocol, "chat")
    client = PROTOCOLS[protocol]
    shared.asked = client.parse(json.dumps(asked).encode(), {}).conversation(shared)
    body = _post(engine, PATHS["chat"], CHAT.write_request(shared.asked, shared))
    if not asked.get("stream"):
        return _SAID[protocol, False](client.write_reply(CHAT.read_reply(body, shared), shared))
    reader, writer = CHAT.reader(shared), client.writer(shared)
    events = [*reader.read(body), *reader.end()]
    return _SAID[protocol, True](b"".join(writer.write(event) for event in events))


def _post(engine: EngineAddress, path: str, body: bytes) -> bytes:
    # `cache_prompt` off: a prompt read anew and one half remembered round differently in the last bit.
    fields = {**json.loads(body), "cache_prompt": False}
    headers = {"content-type": "application/json", "authorization": f"Bearer {engine.api_key}"}
    request = Request(f"{engine.base_url}{path}", json.dumps(fields).encode(), headers)
    with urlopen(request, timeout=WAIT_S) as answer:
        read: bytes = answer.read()
        return read


def _frames(body: bytes) -> Iterator[Json]:
    for line in body.decode().split("\n"):
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def _chat_whole(body: bytes) -> str:
    said: str = json.loads(body)["choices"][0]["message"]["content"]
    return said


def _chat_stream(body: bytes) -> str:
    choices = [frame["choices"][0] for frame in _frames(body) if frame["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _messages_whole(body: bytes) -> str:
    return "".join(block["text"] for block in json.loads(body)["content"])


def _messages_stream(body: bytes) -> str:
    deltas = [frame["delta"] for frame in _frames(body) if frame["type"] == "content_block_delta"]
    return "".join(delta["text"] for delta in deltas)


def _responses_whole(body: bytes) -> str:
    return "".join(part["text"] for item in json.loads(body)["output"] for part in item["content"])


def _responses_stream(body: bytes) -> str:
    frames = [frame for frame in _frames(body) if frame["type"] == "response.output_text.delta"]
    return "".join(frame["delta"] for frame in frames)


_SAID: dict[tuple[str, bool], Callable[[bytes], str]] = {
    ("chat", False): _chat_whole,
    ("chat", True): _chat_stream,
    ("messages", False): _messages_whole,
    ("messages", True): _messages_stream,
    ("responses", False): _responses_whole,
    ("responses", True): _responses_stream,
}
