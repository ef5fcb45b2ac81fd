"""Stop sequences kept by the gateway: no part of one reaches the client, however the text is cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modelway.conversation.events import (
    ArgumentsAdded,
    Event,
    Finished,
    PartEnded,
    PartStarted,
    ReasoningAdded,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import Reasoning, Text, ToolCall
from modelway.conversation.reply import Reply, Stop, Usage
from modelway.conversation.stops import StopFilter, stopped

END = Stop("end")


def answer(*pieces: str) -> list[Event]:
    deltas = [TextAdded(0, piece) for piece in pieces]
    return [Started("1", "m"), PartStarted(0, Text(text="")), *deltas, PartEnded(0), Finished(END)]


def heard(sequences: list[str], events: list[Event]) -> tuple[str, list[Event]]:
    cutting = StopFilter(sequences)
    out = [each for event in events for each in cutting.feed(event)]
    return "".join(each.text for each in out if isinstance(each, TextAdded)), out


def test_T208_a_sequence_that_arrives_in_three_pieces_is_never_seen() -> None:
    text, events = heard(["END"], answer("one E", "N", "DX and more"))

    assert text == "one "
    assert events[-1] == Finished(Stop("stop_sequence", sequence="END", raw="END"))
    assert PartEnded(0) in events


def test_what_only_began_like_a_sequence_is_given_out_in_the_end() -> None:
    text, events = heard(["END"], answer("one EN", "T", "E EN"))

    assert text == "one ENTE EN"
    assert events[-1] == Finished(END)


def test_the_sequence_that_is_whole_first_wins() -> None:
    text, events = heard(["bcd", "c"], answer("abcd"))

    assert text == "ab"
    assert isinstance(events[-1], Finished)
    assert events[-1].stop.sequence == "c"


def test_of_two_that_are_whole_together_the_longer_one_wins() -> None:
    assert heard(["cd", "bcd"], answer("abcd"))[0] == "a"


def test_thinking_and_arguments_may_contain_a_sequence() -> None:
    events: list[Event] = [
        Started("1", "m"),
        PartStarted(0, Reasoning()),
        ReasoningAdded(0, "END"),
        PartEnded(0),
        PartStarted(1, ToolCall(id="c", name="f")),
        ArgumentsAdded(1, '{"x":"END"}'),
        PartEnded(1),
        Finished(Stop("tool_use")),
    ]

    assert heard(["END"], events)[1] == events


def test_a_sequence_does_not_reach_over_two_parts() -> None:
    events: list[Event] = [
        PartStarted(0, Text(text="")),
        TextAdded(0, "E"),
        PartEnded(0),
        PartStarted(1, Text(text="")),
        TextAdded(1, "ND"),
        PartEnded(1),
        Finished(END),
    ]

    text, out = heard(["END"], events)

    assert text == "END"
    assert out[1:3] == [TextAdded(0, "E"), PartEnded(0)]


def test_the_usage_known_so_far_goes_into_the_end() -> None:
    usage = Usage(input_tokens=3, output_tokens=2)
    events: list[Event] = [PartStarted(0, Text(text="")), UsageReported(usage), TextAdded(0, "a;b")]

    assert heard([";"], events)[1][-1] == Finished(Stop("stop_sequence", sequence=";", raw=";"), usage)


def test_nothing_follows_a_hit() -> None:
    cutting = StopFilter([";"])
    for event in (PartStarted(0, Text(text="")), TextAdded(0, ";")):
        cutting.feed(event)

    assert cutting.hit == ";"
    assert cutting.feed(TextAdded(0, "more")) == []
    assert cutting.feed(Finished(END)) == []


def test_tokens_go_with_their_text() -> None:
    tokens = [{"token": "ab"}, {"token": "E"}, {"token": "f"}]
    events: list[Event] = [
        PartStarted(0, Text(text="")),
        TextAdded(0, "abE", [tokens[0], tokens[1]]),
        TextAdded(0, "f", [tokens[2]]),
    ]

    _, out = heard(["END"], events)

    assert out[1:] == [TextAdded(0, "ab", [tokens[0]]), TextAdded(0, "Ef", tokens[1:])]


def test_a_whole_reply_is_cut_in_the_same_place() -> None:
    reply = Reply(id="1", model="m", parts=(Text(text="one;two"),), stop=END, usage=Usage(output_tokens=5))

    cut, sequence = stopped(reply, [";"])

    assert sequence == ";"
    assert cut.parts == (Text(text="one"),)
    assert cut.stop.reason == "stop_sequence"
    assert stopped(reply, ["!"]) == (reply, None)


texts = st.text(alphabet="abX", max_size=40)
sequence_lists = st.lists(st.text(alphabet="abX", min_size=1, max_size=4), min_size=1, max_size=3)


def until(text: str, sequences: list[str]) -> str:
    """Character by character, as a model would have stopped."""
    for end in range(len(text) + 1):
        hits = [each for each in sequences if text[:end].endswith(each)]
        if hits:
            return text[: end - max(map(len, hits))]
    return text


@given(texts, sequence_lists, st.lists(st.integers(0, 40), max_size=8))
def test_any_chunking_gives_the_text_before_the_first_sequence(
    text: str, sequences: list[str], cuts: list[int]
) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[begin:end] for begin, end in itertools.pairwise(edges)]

    assert heard(sequences, answer(*pieces))[0] == until(text, sequences)
