"""What providers call counts of tokens: what is none is not charged, and harms nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelway.conversation.reply import COUNT_MAX, Usage
from modelway.protocols.anthropic_messages import usage as messages
from modelway.protocols.embeddings import parse, write_reply
from modelway.protocols.openai_chat import usage as chat
from modelway.protocols.openai_chat.watch import StreamWatch
from modelway.protocols.openai_responses.response_object import read_usage as read_responses

ODD = [-1, True, 10**19, 2**64 - 1, COUNT_MAX + 1, 1e300, float("inf"), float("nan"), "7", [7], {"n": 7}]


def read_chat(main: Any, detail: Any = 3) -> Usage | None:
    details = {"cached_tokens": detail, "cache_write_tokens": detail, "audio_tokens": detail}
    written = {"reasoning_tokens": detail, "audio_tokens": detail}
    return chat.read_usage(
        {
            "prompt_tokens": main,
            "completion_tokens": 5,
            "prompt_tokens_details": details,
            "completion_tokens_details": written,
        }
    )


def read_messages(main: Any, detail: Any = 3) -> Usage | None:
    return messages.read_usage(
        {
            "input_tokens": main,
            "output_tokens": 5,
            "cache_read_input_tokens": detail,
            "cache_creation_input_tokens": detail,
            "cache_creation": {"ephemeral_1h_input_tokens": detail},
            "output_tokens_details": {"thinking_tokens": detail},
            "server_tool_use": {"web_search_requests": detail},
        }
    )


def read_response(main: Any, detail: Any = 3) -> Usage | None:
    return read_responses(
        {
            "usage": {
                "input_tokens": main,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": detail, "cache_write_tokens": detail},
                "output_tokens_details": {"reasoning_tokens": detail},
            },
            "tool_usage": {"web_search": {"num_requests": detail}},
        }
    )


def counts(usage: Usage | None) -> dict[str, Any]:
    """Without what only one protocol says."""
    assert usage is not None
    return {name: value for name, value in msgspec.structs.asdict(usage).items() if name != "ext"}


READERS = pytest.mark.parametrize("read", [read_chat, read_messages, read_response])


@READERS
@pytest.mark.parametrize("odd", ODD)
def test_a_usage_whose_main_count_is_none_was_not_said_and_is_estimated(read: Any, odd: Any) -> None:
    assert read(odd) is None


@READERS
@pytest.mark.parametrize("odd", ODD)
def test_a_detail_that_is_no_count_was_not_said(read: Any, odd: Any) -> None:
    assert counts(read(100, odd)) == counts(Usage(input_tokens=100, output_tokens=5))


@READERS
def test_a_count_written_with_a_point_is_a_count(read: Any) -> None:
    assert counts(read(100.0, 3.0)) == counts(read(100, 3)) != counts(read(100, None))


@READERS
def test_a_count_that_is_not_there_is_none_at_all(read: Any) -> None:
    assert counts(read(None, None)) == counts(Usage(output_tokens=5))


@pytest.mark.parametrize("odd", ["no object", [1], 7])
def test_details_that_are_no_objects_were_not_said(odd: Any) -> None:
    given = {"input_tokens": 1, "output_tokens": 2}
    details = dict.fromkeys(("cache_creation", "output_tokens_details", "server_tool_use"), odd)

    read = messages.read_usage(given | details)

    assert read is not None
    assert (read.input_tokens, read.output_tokens, read.web_searches) == (1, 2, None)


def test_a_stream_that_passes_through_is_estimated_where_its_provider_counted_nonsense() -> None:
    watch = StreamWatch(None, include_usage=True)
    for word in ("a", "b", "c"):
        watch.feed(b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % word.encode())
    watch.feed(
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":10000000000000000000}}\n\n'
    )

    assert watch.usage is None
    assert watch.output_tokens_estimate() == 3


@pytest.mark.parametrize("odd", [-1, True, 10**19, 1e300, "7"])
def test_an_embedding_whose_count_is_none_is_estimated(odd: Any) -> None:
    vector = {"index": 0, "embedding": [1.0]}
    answer = msgspec.json.encode({"data": [vector], "usage": {"prompt_tokens": odd}})

    _, usage = write_reply(answer, parse(b'{"model": "m", "input": [1, 2, 3]}'))

    assert usage == Usage(input_tokens=3, estimated=True)
