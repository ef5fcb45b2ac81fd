"""However the network cuts an upstream's stream, the client sees the same events."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.fix_gateway import Gateway
from tests.fix_upstream import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Scripted,
    ScriptedUpstream,
    Send,
    Wait,
    recording,
    streamed,
)
from tests.whole.wire import Answer, call, events, minimal

PATHS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
MODELS = {"chat": "chat-model", "messages": "messages-model", "responses": "responses-model"}
CASES = ["text", "tool_call", "parallel_tools", "cut_off"]
ALL_WAYS = list(product(PATHS, PATHS))
AT_ONCE = 8  # calls that overlap, because each waits at its cut
CUT_S = 0.001  # long enough that both halves arrive alone on loopback
IDS = re.compile(rb'"(chatcmpl-|msg_|resp_|fc_|rs_)[A-Za-z0-9_-]+"')
TIMES = re.compile(rb'("(?:created|created_at|completed_at)":\s?)[0-9.]+')


def comparable(answer: Answer) -> bytes:
    """The stream without what differs between two calls: minted ids and times."""
    assert answer.status == 200, answer
    return TIMES.sub(rb"\g<1>0", IDS.sub(b'"~"', answer.body))


def ask(gateway: Gateway, client: str, upstream_protocol: str) -> bytes:
    path = PATHS[client]
    more = {"stream_options": {"include_usage": True}} if client == "chat" else {}
    return comparable(call(gateway, path, minimal(path, MODELS[upstream_protocol], stream=True, **more)))


def cut_in_two(stream: bytes, at: int) -> Scripted:
    steps = (Send(stream[:at]), Wait(CUT_S), Send(stream[at:]))
    return Scripted(steps, headers=(("content-type", "text/event-stream"),))


@pytest.mark.parametrize(("client", "upstream_protocol"), ALL_WAYS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every_bytes", [1, 7])
def test_a_stream_in_crumbs_gives_the_same_events(
    gateway: Gateway,
    upstream: ScriptedUpstream,
    client: str,
    upstream_protocol: str,
    case: str,
    every_bytes: int,
) -> None:
    stream = recording(f"whole/{upstream_protocol}_{case}.sse")
    upstream.answers(PATHS[upstream_protocol], streamed(stream), streamed(stream, every_bytes=every_bytes))

    at_frames = ask(gateway, client, upstream_protocol)
    in_crumbs = ask(gateway, client, upstream_protocol)

    assert in_crumbs == at_frames


@pytest.mark.parametrize(("client", "upstream_protocol"), ALL_WAYS)
def test_a_stream_cut_at_any_byte_gives_the_same_events(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str
) -> None:
    stream = recording(f"whole/{upstream_protocol}_cut_off.sse")
    cuts = [cut_in_two(stream, at) for at in range(1, len(stream))]
    upstream.answers(PATHS[upstream_protocol], streamed(stream), *cuts)
    expected = ask(gateway, client, upstream_protocol)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = [pool.submit(ask, gateway, client, upstream_protocol) for _ in cuts]
        differing = {future.result() for future in asked} - {expected}

    assert not differing
    assert len(upstream.calls) == len(stream)


@pytest.mark.parametrize(("client", "upstream_protocol"), ALL_WAYS)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_give_the_same_events(
    gateway: Gateway, upstream: ScriptedUpstream, client: str, upstream_protocol: str, line_end: bytes
) -> None:
    stream = recording(f"whole/{upstream_protocol}_text.sse")
    other = Scripted(
        (Send(stream.replace(b"\n", line_end)),), headers=(("content-type", "text/event-stream"),)
    )
    upstream.answers(PATHS[upstream_protocol], streamed(stream), other)

    usual, changed = (ask(gateway, client, upstream_protocol) for _ in range(2))

    # Bytes that pass keep their line ends; what they say is compared.
    assert events(changed.replace(line_end, b"\n")) == events(usual)
