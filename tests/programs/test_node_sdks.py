"""The official Node SDKs through the gateway: every client protocol on every upstream protocol."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import EMBEDDINGS, ScriptedUpstream, frames, recording, streamed, whole
from tests.programs.answers import ERROR_FRAMES, MODELS, PATHS, PROTOCOLS, Protocol, begun, reply, stream
from tests.programs.heard import heard
from tests.programs.running import LineProgram, node_program
from tests.programs.turns import Turn, Use
from tests.whole.questions import STOPS, question, weather

TEXT = "Hello, wörld! 👋 It is 18 °C in “Paris”.\nTab\tand \\ too."
PARIS = ["get_weather", {"city": "Paris", "unit": "celsius"}]
ZURICH = ["get_weather", {"city": "Zürich", "unit": "fahrenheit"}]
SUNNY = "18 °C and sunny"
CALLED = Turn(uses=(Use("call_far_1", "get_weather", {"city": "Paris", "unit": "celsius"}),))

# The recordings of tests/recordings/whole: text, calls, why it ended, tokens in and out.
RECORDED: dict[str, tuple[str, list[object], str, list[int]]] = {
    "text": (TEXT, [], "end", [21, 14]),
    "tool_call": ("Let me look.", [PARIS], "tool_use", [80, 25]),
    "parallel_tools": ("", [PARIS, ZURICH], "tool_use", [82, 47]),
    "cut_off": ("Once upon a", [], "max_tokens", [9, 4]),
}
# OpenAI's helpers turn a cut answer into an exception of their own, as they do for anyone's.
HELPER_RAISES = [("chat", "cut_off"), ("responses", "cut_off")]


@pytest.fixture(scope="module")
def node() -> Iterator[LineProgram]:
    program = node_program(Path(__file__).parent / "node_sdks.mjs")
    yield program
    program.close()


def asked(client: Protocol, model: str, case: str) -> dict[str, object]:
    return weather(client, model) if "tool" in case else question(client, model, "Say hello.")


@pytest.mark.parametrize("way", ["whole", "helper", "raw"])
@pytest.mark.parametrize("case", RECORDED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
def test_an_answer_says_what_was_recorded(
    node: LineProgram,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Protocol,
    protocol: Protocol,
    case: str,
    way: str,
) -> None:
    way = "raw" if way == "helper" and (client, case) in HELPER_RAISES else way
    name = f"whole/{protocol}_{case}"
    scripted = whole(recording(f"{name}.json")) if way == "whole" else streamed(recording(f"{name}.sse"))
    upstream.answers(PATHS[protocol], scripted)

    seen = node.ask(f"{client} {way}", gateway, asked(client, MODELS[protocol], case))

    text, calls, stop, usage = RECORDED[case]
    assert "error" not in seen, seen
    assert (seen["text"], seen["calls"], seen["usage"]) == (text, calls, usage)
    assert seen["stop"] == STOPS[client][stop]
    assert seen["model"] == MODELS[protocol]
    assert len(set(seen["call_ids"])) == len(calls)
    assert upstream.last.json()["model"] == f"far-{protocol}"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
def test_the_sdks_own_tool_loop_comes_to_its_end(
    node: LineProgram,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Protocol,
    protocol: Protocol,
    streams: bool,
) -> None:
    answered = stream if streams else reply
    upstream.answers(PATHS[protocol], answered(protocol, CALLED), answered(protocol, Turn(text="Sunny.")))

    seen = node.ask(f"{client} loop", gateway, weather(client, MODELS[protocol]), stream=streams)

    assert seen == {"text": "Sunny.", "heard": [PARIS[1]]}
    assert heard(protocol, upstream.last).results == {"call_far_1": SUNNY}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("way", ["helper", "raw"])
def test_a_stream_that_stops_half_way_raises(
    node: LineProgram,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Protocol,
    protocol: Protocol,
    way: str,
) -> None:
    recorded = frames(recording(f"whole/{protocol}_text.sse"))
    upstream.answers(PATHS[protocol], streamed(b"".join(recorded[: len(recorded) * 2 // 3])))

    seen = node.ask(f"{client} {way}", gateway, question(client, MODELS[protocol], "Say hello."))

    assert "error" in seen, f"a cut answer was taken for a whole one: {seen}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
def test_an_error_inside_a_stream_raises_with_its_words(
    node: LineProgram, gateway: Gateway, upstream: ScriptedUpstream, client: Protocol, protocol: Protocol
) -> None:
    broken = begun(protocol, Turn(text="Half of this will be heard"), then=ERROR_FRAMES[protocol])
    upstream.answers(PATHS[protocol], broken)

    seen = node.ask(f"{client} raw", gateway, question(client, MODELS[protocol], "Say hello."))

    words = "verloaded" if protocol == "messages" else "had an error"
    assert "APIError" in seen["error"]["classes"], seen
    assert words in seen["error"]["text"], seen


@pytest.mark.parametrize("client", PROTOCOLS)
def test_a_wrong_key_raises_an_authentication_error(
    node: LineProgram, gateway: Gateway, client: Protocol
) -> None:
    body = question(client, "chat-model", "Hi")

    error = node.ask(f"{client} whole", gateway, body, api_key="sk-mw-wrong")["error"]

    assert "AuthenticationError" in error["classes"]
    assert error["status_code"] == 401
    assert error["request_id"]


@pytest.mark.parametrize("client", PROTOCOLS)
def test_an_unknown_model_raises_not_found(node: LineProgram, gateway: Gateway, client: Protocol) -> None:
    error = node.ask(f"{client} whole", gateway, question(client, "no-such-model", "Hi"))["error"]

    assert "NotFoundError" in error["classes"]
    assert "no-such-model" in error["text"]


@pytest.mark.parametrize("client", PROTOCOLS)
def test_a_broken_upstream_is_tried_again_by_the_sdk(
    node: LineProgram, gateway: Gateway, upstream: ScriptedUpstream, client: Protocol
) -> None:
    busy = whole(b'{"error":{"message":"busy","type":"server_error"}}', status=503)
    upstream.answers(PATHS["chat"], busy, whole(recording("whole/chat_text.json")))

    seen = node.ask(f"{client} whole", gateway, question(client, "chat-model", "Hi"), max_retries=2)

    assert seen["text"] == TEXT


def test_the_models_are_listed_in_both_sdks_shapes(node: LineProgram, gateway: Gateway) -> None:
    openais = node.ask("openai models", gateway)["models"]
    anthropics = node.ask("anthropic models", gateway)["models"]

    assert set(MODELS.values()) <= {model[0] for model in openais}
    assert [model[0] for model in openais] == [model[0] for model in anthropics]
    assert {model[1] for model in openais} == {"model"}
    assert all(isinstance(model[2], int) and model[3] for model in openais)
    assert all(model[2].endswith("Z") and model[3] for model in anthropics)


def test_tokens_are_counted_for_a_model_of_another_protocol(node: LineProgram, gateway: Gateway) -> None:
    arguments = question("messages", "chat-model", "How many tokens is this sentence?")
    del arguments["max_tokens"]

    assert 5 < node.ask("count tokens", gateway, arguments)["input_tokens"] < 30


def test_embeddings_are_decoded_from_base64(
    node: LineProgram, gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    packed = b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    row = {"object": "embedding", "index": 0, "embedding": packed}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    body = {"object": "list", "model": "far-chat", "data": [row], "usage": usage}
    upstream.answers(EMBEDDINGS, whole(json.dumps(body).encode()))

    seen = node.ask("embeddings", gateway, {"model": "chat-model", "input": "hello"})

    assert seen == {"vectors": [[0.5, -1.0, 2.0]], "model": "chat-model"}
