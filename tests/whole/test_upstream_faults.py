"""What an upstream does wrong is a true status before the first byte and an error frame after it."""

from __future__ import annotations

import json

import pytest

from tests.fix_gateway import UPSTREAM_KEY, Gateway
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Cut,
    Reset,
    Scripted,
    ScriptedUpstream,
    Send,
    frames,
    recording,
    streamed,
    whole,
)
from tests.whole.wire import assert_is_the_envelope, call, events, minimal

UPSTREAMS = {"chat": (CHAT, "chat-model"), "messages": (MESSAGES, "messages-model")}
CLIENTS = [CHAT, MESSAGES, RESPONSES]
GOOD_ENDINGS = {CHAT: b"[DONE]", MESSAGES: b"message_stop", RESPONSES: b"response.completed"}


def fault(message: str, kind: str = "server_error") -> bytes:
    """An error body of either vendor."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


# What the upstream answers, and what the client is told: status on OpenAI's paths, on Messages, type, code.
REFUSALS: list[tuple[str, Scripted, int, int, str, str]] = [
    (
        "400",
        whole(fault("messages.3: too odd"), status=400),
        400,
        400,
        "invalid_request_error",
        "invalid_value",
    ),
    ("422", whole(fault("too odd"), status=422), 400, 400, "invalid_request_error", "invalid_value"),
    ("401", whole(fault(f"bad {UPSTREAM_KEY}"), status=401), 502, 502, "api_error", "upstream_auth"),
    ("403", whole(fault("no"), status=403), 502, 502, "api_error", "upstream_auth"),
    ("429", whole(fault("slow"), status=429), 429, 429, "rate_limit_error", "rate_limit_exceeded"),
    ("529", whole(fault("busy"), status=529), 503, 529, "overloaded_error", "server_is_overloaded"),
    ("500", whole(fault("oops"), status=500), 502, 502, "api_error", "upstream_error"),
    ("html", whole(b"<html>502</html>", status=502), 502, 502, "api_error", "upstream_error"),
    (
        "redirect",
        whole(b"", status=302, headers=(("location", "http://127.0.0.1:1/"),)),
        502,
        502,
        "api_error",
        "",
    ),
    ("error in a 200", whole(fault("oops")), 502, 502, "api_error", ""),
    ("nonsense in a 200", whole(b"hello"), 502, 502, "api_error", ""),
    ("reset", Scripted((Reset(),)), 502, 502, "api_error", ""),
    ("cut body", Scripted((Send(b'{"id":'), Cut()), length=500), 502, 502, "api_error", ""),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
@pytest.mark.parametrize(
    ("scripted", "status", "messages_status", "kind", "code"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
def test_a_refusal_has_a_true_status(
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: str,
    upstream_protocol: str,
    scripted: Scripted,
    status: int,
    messages_status: int,
    kind: str,
    code: str,
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    upstream.answers(path, scripted)

    answer = call(gateway, client, minimal(client, model))

    expected = messages_status if client == MESSAGES else status
    error = assert_is_the_envelope(answer, expected, kind, code or None)
    assert UPSTREAM_KEY not in str(error)
    assert "html" not in error["message"]
    row = gateway.usage_of(answer.request_id)
    assert row["status"] == expected
    assert row["outcome"] != "ok"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
def test_T261_a_stream_that_begins_with_an_error_is_an_http_error(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    upstream.answers(path, streamed(frames(recording(f"whole/{upstream_protocol}_error.sse"))[-1]))

    answer = call(gateway, client, minimal(client, model, stream=True))

    assert answer.status >= 500, answer
    assert_is_the_envelope(answer, answer.status, answer.json()["error"]["type"])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("upstream_protocol", UPSTREAMS)
def test_a_stream_cut_anywhere_is_never_told_as_whole(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    path, model = UPSTREAMS[upstream_protocol]
    stream = recording(f"whole/{upstream_protocol}_parallel_tools.sse")
    unfinished = stream.rfind(
        {"chat": b'"finish_reason":"', "messages": b"event: message_delta"}[upstream_protocol]
    )
    for cut in range(0, unfinished, 37):
        upstream.answers(path, streamed(stream, cut_after_bytes=cut))

        answer = call(gateway, client, minimal(client, model, stream=True))

        assert GOOD_ENDINGS[client] not in answer.body, f"cut after {cut} bytes"
        if answer.status == 200:
            assert answer.body.endswith(b"\n\n")
            (last,) = events(frames(answer.body)[-1])  # a frame before it may have been cut short
            assert "error" in last or last["type"] == "response.failed", last
        else:
            assert_is_the_envelope(answer, 502, "api_error")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_provider_nobody_listens_for_is_a_502(gateway: Gateway, client: str) -> None:
    answer = call(gateway, client, minimal(client, "unreachable-model"))

    assert_is_the_envelope(answer, 502, "api_error")


def test_a_retry_after_is_passed_on_within_what_the_sdks_obey(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    for said, heard in [("7", 7), ("86400", 60)]:
        upstream.answers(CHAT, whole(fault("slow"), status=429, headers=(("retry-after", said),)))

        answer = call(gateway, CHAT, minimal(CHAT, "chat-model"))

        assert int(answer.headers["retry-after"]) == heard
