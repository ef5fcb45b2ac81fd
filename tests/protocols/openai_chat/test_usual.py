"""Frames that differ in a word are read by their likeness, and nobody can tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelway.protocols.openai_chat import CHAT
from modelway.protocols.usual import KINDS_MAX, Usual
from tests.protocols.openai_chat.given import translation

WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=30)
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, st.text(st.characters(codec="utf-8"), max_size=6)),
    st.builds(lambda text: {"reasoning_content": text}, st.sampled_from(["hm", ""])),
    st.just({"content": None}),
    st.just({"role": "assistant", "content": "x"}),
    st.just({"content": "x", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}),
    st.just({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
)


def frame(delta: dict[str, Any], *, spaced: bool = False, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    separators = None if spaced else (",", ":")
    body = {"id": "c", "model": "m", "created": 1, "choices": [choice], **more}
    return b"data: " + json.dumps(body, separators=separators, ensure_ascii=False).encode() + b"\n\n"


@given(st.lists(DELTAS, max_size=30), st.booleans(), st.sampled_from([None, "stop"]))
def test_a_stream_is_the_same_whether_its_frames_are_alike_or_not(
    deltas: list[dict[str, Any]], spaced: bool, reason: str | None
) -> None:
    alike, unlike = CHAT.reader(translation()), CHAT.reader(translation())
    for number, delta in enumerate(deltas):
        read = alike.read(frame(delta, spaced=spaced, finish_reason=reason))
        other = unlike.read(frame(delta, spaced=spaced, finish_reason=reason, fingerprint=number))
        assert repr(read) == repr(other)
    for last in (b"data: [DONE]\n\n", frame({"content": "late"}), frame({"content": "later"})):
        assert repr(alike.read(last)) == repr(unlike.read(last))


@given(WORDS, st.booleans())
def test_what_passes_is_unchanged_and_counted(words: list[str], spaced: bool) -> None:
    watch = CHAT.watch(True, "m", "m", False)
    for word in words:
        assert watch.feed(frame({"content": word}, spaced=spaced)) == frame({"content": word}, spaced=spaced)

    assert watch.output_tokens_estimate() == max(0, len(words) - 1)
    assert not watch.complete


NEWS = [
    (frame({"content": "a"}, finish_reason="stop"), "complete"),
    (frame({"content": "a"}, error={"message": "no"}), "error"),
    (frame({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 2}), "usage"),
]


@pytest.mark.parametrize(("news", "told"), NEWS, ids=[told for _, told in NEWS])
def test_news_among_usual_frames_is_noticed(news: bytes, told: str) -> None:
    watch = CHAT.watch(True, "m", "m", True)
    for word in ("a", "b", "c"):
        watch.feed(frame({"content": word}))
    assert not getattr(watch, told)

    watch.feed(news)

    assert getattr(watch, told)


ODD = [
    b'data: {"content":"}',  # shorter than what stands around the word
    b'data: {"content":"a"b"}',
    b'data: {"content":"a\\"}',
    b'data: {"content":"a\nid: 1"}',
    b'data: {"content":"a\x00"}',
    b'data: {"content":"\xff"}',
    b'data: {"content":"a"}\n\ndata: {"content":"a"}',
    b'data: {"content": "a"}',
]


@pytest.mark.parametrize("odd", ODD)
def test_what_only_looks_alike_is_read(odd: bytes) -> None:
    usual = Usual("content")
    assert usual.learn(b'data: {"content":"first"}') == "first"
    assert usual.word(b'data: {"content":""}') == ""
    assert usual.word('data: {"content":" wörd"}'.encode()) == " wörd"

    assert usual.word(odd) is None


NEWS_IN_A_WORD = [odd for odd in ODD if b"\x00" not in odd and b"\xff" not in odd and b"\\" not in odd]


@pytest.mark.parametrize("odd", NEWS_IN_A_WORD)
def test_what_goes_on_behind_the_word_may_be_news(odd: bytes) -> None:
    usual = Usual("content")
    usual.learn(b'data: {"content":"first"}')
    assert usual.tells_nothing(b'data: {"content":""}')
    assert usual.tells_nothing('data: {"content":" wörd\\n"}'.encode())

    assert not usual.tells_nothing(odd)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_the_end_is_seen_in_a_chunk_that_looks_like_one_frame(line_end: bytes) -> None:
    watch = CHAT.watch(True, "m", "m", True)
    watch.feed(b'data: {"content":"first"}\n\n')

    done = line_end.join([b'data: {"content":"', b"", b"data: [DONE]", b"", b'data: "}\n\n'])
    watch.feed(done)

    assert watch.ended


def test_a_frame_with_two_such_words_is_never_usual() -> None:
    assert Usual("content").learn(b'{"a":{"content":"x"},"content":"y"}') is None


def test_a_stream_whose_frames_always_differ_is_soon_not_compared_any_more() -> None:
    usual = Usual("content")

    learned = [usual.learn(b'{"id":%d,"content":"x"}' % number) for number in range(KINDS_MAX + 5)]

    assert learned == ["x"] * KINDS_MAX + [None] * 5
