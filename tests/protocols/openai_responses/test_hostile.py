"""Bodies of the wrong shape anywhere: a client gets a 400, a provider a 502, never anything else."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelway.conversation.errors import CallError
from modelway.conversation.events import Failed, Finished
from modelway.protocols.openai_responses import RESPONSES
from tests.protocols.openai_responses.given import PAIRS, events_of, recording, translation

JUNK: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], [None], {}, {"type": "x"}, [[]], {"a": None}]
EVERYTHING: dict[str, Any] = json.loads(recording("requests/codex_additional_tools.json")) | {
    "instructions": "Be brief",
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "metadata": {"a": "b"},
    "prompt_cache_options": {"mode": "implicit", "ttl": "12h"},
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def broken(value: Any, place: tuple[Any, ...], junk: Any) -> Any:
    if not place:
        return junk
    whole = copy.deepcopy(value)
    inner = whole
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    return whole


PLACES = places(EVERYTHING)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(JUNK), st.sampled_from(["chat", "messages", "responses"]))
@example(("input", 5, "summary", 0), "x", "chat")
def test_a_request_broken_anywhere_is_read_or_refused(
    place: tuple[Any, ...], junk: Any, upstream: str
) -> None:
    using = translation(upstream=upstream)
    try:
        body = json.dumps(broken(EVERYTHING, place, junk)).encode()
        read = RESPONSES.parse(body, {}).conversation(using)
        using.asked = read
        RESPONSES.write_request(read, translation("responses", "responses"))
        RESPONSES.writer(using)
        status = 400
    except CallError as error:
        status = error.kind.status

    assert 400 <= status < 500


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(PAIRS), st.sampled_from(JUNK))
def test_an_answer_broken_anywhere_is_read_or_a_502(data: st.DataObject, name: str, junk: Any) -> None:
    whole = json.loads(recording(f"{name}.json"))
    body = json.dumps(broken(whole, data.draw(st.sampled_from(places(whole))), junk)).encode()

    try:
        RESPONSES.write_reply(RESPONSES.read_reply(body, translation("chat", "responses")), translation())
        theirs = True
    except CallError as error:
        theirs = error.kind.upstream_at_fault

    assert theirs


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(PAIRS), st.sampled_from(JUNK))
def test_a_stream_broken_anywhere_has_one_end(data: st.DataObject, name: str, junk: Any) -> None:
    lines = recording(f"{name}.sse").split(b"\n")
    number = data.draw(st.sampled_from([n for n, line in enumerate(lines) if line.startswith(b"data: ")]))
    event = json.loads(lines[number].removeprefix(b"data: "))
    place = data.draw(st.sampled_from(places(event)))
    lines[number] = b"data: " + json.dumps(broken(event, place, junk)).encode()
    stream = b"\n".join(lines)

    events = events_of(stream)
    writer = RESPONSES.writer(translation())
    watch = RESPONSES.watch(True, "alias", "m", True)

    assert isinstance(events[-1], Finished | Failed)
    assert not any(isinstance(each, Finished | Failed) for each in events[:-1])
    for each in events:
        writer.write(each)
    watch.feed(stream)
    watch.end()
