"""Every recording as each protocol's client gets it, held against the stored snapshot, byte for byte."""

from __future__ import annotations

import pytest

from modelway.conversation.events import Event, fold
from modelway.conversation.parts import Text
from tests.crossing.given import PROTOCOLS, translation
from tests.golden.taking import SNAPSHOTS, Case, cases, taken

CASES = list(cases())
# llama.cpp answers these three alike whichever endpoint is asked; Responses has no stop sequences.
SAME_TEXT = ("text", "turns", "max_tokens", "stop_sequence")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_recording_reaches_its_client_as_its_snapshot_says(case: Case) -> None:
    assert case.snapshot.exists(), f"no snapshot for {case}: `make snapshots` writes it; read it, then commit"

    assert taken(case).decode("utf-8", "replace") == case.snapshot.read_bytes().decode("utf-8", "replace")


def test_every_snapshot_has_its_recording() -> None:
    expected = {case.snapshot for case in CASES}

    assert {path for path in SNAPSHOTS.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("name", SAME_TEXT)
@pytest.mark.parametrize("suffix", [".json", ".sse"])
def test_the_local_models_recordings_say_the_same_in_every_protocol(name: str, suffix: str) -> None:
    found = [case for case in CASES if case.folder == "local" and case.name.endswith(name)]
    found = [case for case in found if case.suffix == suffix and case.client == case.upstream]
    assert len(found) >= 2

    heard = [_heard(case) for case in found]

    assert heard[0][0], "the model said nothing"
    assert heard == heard[:1] * len(heard)


def _heard(case: Case) -> tuple[str, int, int]:
    """Text, all input tokens, output tokens of a recording. Each protocol splits the input another way."""
    shared = translation(case.client, case.upstream)
    protocol = PROTOCOLS[case.upstream]
    if case.suffix == ".json":
        reply = protocol.read_reply(case.recording, shared)
    else:
        reader = protocol.reader(shared)
        seen: list[Event] = [*reader.read(case.recording), *reader.end()]
        reply = fold(seen)
    assert reply.usage is not None, f"{case} reports no usage"
    said = "".join(part.text for part in reply.parts if isinstance(part, Text))
    all_input = reply.usage.input_tokens + (reply.usage.cache_read_tokens or 0)
    return said, all_input, reply.usage.output_tokens
