"""The official SDKs through the gateway on recordings: every client protocol on every upstream protocol.

What a streamed answer folds to equals the whole answer, whichever way both were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fix_gateway import UPSTREAM_KEY, Gateway
from tests.fix_upstream import CHAT, MESSAGES, RESPONSES, ScriptedUpstream, frames, recording, streamed, whole
from tests.whole.questions import STOPS, Client, question, weather
from tests.whole.sdks import Sdk

CLIENTS: tuple[Client, ...] = ("chat", "messages", "responses")
UPSTREAMS: dict[Client, tuple[str, str]] = {
    "chat": (CHAT, "chat-model"),
    "messages": (MESSAGES, "messages-model"),
    "responses": (RESPONSES, "responses-model"),
}
TEXT = "Hello, wörld! 👋 It is 18 °C in “Paris”.\nTab\tand \\ too."
PARIS: list[object] = ["get_weather", {"city": "Paris", "unit": "celsius"}]
ZURICH: list[object] = ["get_weather", {"city": "Zürich", "unit": "fahrenheit"}]


@dataclass(frozen=True)
class Case:
    """A recording of tests/recordings/whole, which exists in every protocol, and what it says."""

    text: str
    calls: list[object]
    stop: str
    usage: list[int]


CASES = {
    "text": Case(TEXT, [], "end", [21, 14]),
    "tool_call": Case("Let me look.", [PARIS], "tool_use", [80, 25]),
    "parallel_tools": Case("", [PARIS, ZURICH], "tool_use", [82, 47]),
    "cut_off": Case("Once upon a", [], "max_tokens", [9, 4]),
}


def scripted(upstream: ScriptedUpstream, protocol: Client, case: str) -> str:
    """Scripts the recording, whole or streamed as the gateway asks; the model to ask for."""
    path, model = UPSTREAMS[protocol]
    upstream.answers(path, whole(recording(f"whole/{protocol}_{case}.json")))
    return model


def stream_scripted(upstream: ScriptedUpstream, protocol: Client, case: str) -> str:
    path, model = UPSTREAMS[protocol]
    upstream.answers(path, streamed(recording(f"whole/{protocol}_{case}.sse")))
    return model


def asked(client: Client, model: str, case: str) -> dict[str, object]:
    return weather(client, model) if "tool" in case else question(client, model, "Say hello.")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_T240_T241_a_whole_answer_says_what_was_recorded(
    sdk: Sdk,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Client,
    upstream_protocol: Client,
    case: str,
) -> None:
    model = scripted(upstream, upstream_protocol, case)

    seen = sdk.use(f"{client} whole", gateway, asked(client, model, case))

    assert_says(seen, CASES[case], client, model)
    assert upstream.last.json()["model"] == f"far-{upstream_protocol}"
    assert UPSTREAM_KEY in str(upstream.last.headers)
    assert gateway.api_key not in str(upstream.last.headers)


@pytest.mark.parametrize("way", ["helper", "raw"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_streamed_answer_folds_to_the_whole_one(
    sdk: Sdk,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Client,
    upstream_protocol: Client,
    case: str,
    way: str,
) -> None:
    if way == "helper" and case == "cut_off" and client != "messages":
        # OpenAI's helpers turn a cut answer into an exception of their own; the raw way shows what came.
        way = "raw"
    model = stream_scripted(upstream, upstream_protocol, case)

    seen = sdk.use(f"{client} {way}", gateway, asked(client, model, case))

    assert_says(seen, CASES[case], client, model)
    assert upstream.last.json()["stream"] is True
    assert upstream.last.json()["model"] == f"far-{upstream_protocol}"


@pytest.mark.parametrize("client", CLIENTS)
def test_tool_calls_whose_pieces_interleave_are_told_one_after_the_other(
    sdk: Sdk, gateway: Gateway, upstream: ScriptedUpstream, client: Client
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_interleaved_tools.sse")))
    # On Chat the bytes pass as they are, and OpenAI's helper cannot read such a stream from anyone.
    way = "raw" if client == "chat" else "helper"

    seen = sdk.use(f"{client} {way}", gateway, weather(client, "chat-model"))

    assert_says(seen, CASES["parallel_tools"], client, "chat-model")


def assert_says(seen: dict[str, object], case: Case, client: Client, model: str) -> None:
    assert "error" not in seen, seen
    assert seen["text"] == case.text
    assert seen["calls"] == case.calls
    assert seen["stop"] == STOPS[client][case.stop]
    assert seen["usage"] == case.usage
    assert seen["model"] == model, "the reply names the model that was asked for"
    ids = seen["call_ids"]
    assert isinstance(ids, list)
    assert len(set(ids)) == len(ids)


def test_an_upstream_that_fails_once_is_tried_again_by_the_sdk(
    sdk: Sdk, gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    broken = whole(b'{"error":{"message":"overloaded","type":"server_error"}}', status=503)
    upstream.answers(CHAT, broken, whole(recording("whole/chat_text.json")))

    seen = sdk.use("chat whole", gateway, question("chat", "chat-model", "Hi"), max_retries=2)

    assert seen["text"] == TEXT


@pytest.mark.parametrize(
    ("client", "error_class"),
    [("chat", "APIError"), ("messages", "APIStatusError"), ("responses", "APIError")],
)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
@pytest.mark.parametrize("way", ["helper", "raw"])
def test_a_stream_that_stops_half_way_raises_and_never_looks_finished(
    sdk: Sdk,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Client,
    error_class: str,
    upstream_protocol: Client,
    way: str,
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    recorded = frames(recording(f"whole/{upstream_protocol}_text.sse"))
    upstream.answers(path, streamed(b"".join(recorded[: len(recorded) * 2 // 3])))

    seen = sdk.use(f"{client} {way}", gateway, question(client, model, "Say hello."))

    assert "error" in seen, f"a cut answer was taken for a whole one: {seen}"
    assert error_class in seen["error"]["classes"], seen


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
def test_a_stream_that_stops_inside_a_frame_raises(
    sdk: Sdk, gateway: Gateway, upstream: ScriptedUpstream, client: Client, upstream_protocol: Client
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    stream = recording(f"whole/{upstream_protocol}_text.sse")
    upstream.answers(path, streamed(stream, cut_after_bytes=stream.index("wörld".encode()) + 2))

    seen = sdk.use(f"{client} raw", gateway, question(client, model, "Say hello."))

    assert "error" in seen, f"a cut answer was taken for a whole one: {seen}"


@pytest.mark.parametrize("client", ["chat", "messages"])
@pytest.mark.parametrize("upstream_protocol", ["chat", "messages"])
@pytest.mark.parametrize("way", ["helper", "raw"])
def test_an_error_inside_the_upstreams_stream_raises_with_its_words(
    sdk: Sdk,
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: Client,
    upstream_protocol: Client,
    way: str,
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    upstream.answers(path, streamed(recording(f"whole/{upstream_protocol}_error.sse")))

    seen = sdk.use(f"{client} {way}", gateway, question(client, model, "Say hello."))

    error = seen["error"]
    assert {"APIError"} <= set(error["classes"]), seen
    words = {"chat": "had an error", "messages": "verloaded"}[upstream_protocol]
    assert words in error["text"], seen


def test_lines_that_choke_the_openai_sdk_are_taken_out(
    sdk: Sdk, gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.answers(CHAT, streamed(recording("whole/chat_retry_and_id_lines.sse")))

    seen = sdk.use("chat raw", gateway, question("chat", "chat-model", "Say hello."))

    assert seen.get("text") == TEXT, seen
