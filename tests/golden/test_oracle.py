"""The local model as an oracle: its own endpoints and our translation give the same text at temperature 0."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelway.engine.leadership import EngineAddress
from tests.golden.engines import Json, directly, one_slot_engine, translated

QUESTION = {"role": "user", "content": "What is the capital of France? One sentence."}
SYSTEM = "You answer in one short sentence."
SAID = {"type": "message", "role": "assistant", "status": "completed"}
TURNS = [
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Hello, Ada."},
    {"role": "user", "content": "What is my name?"},
]
# llama.cpp takes an assistant's turn on its Responses endpoint in this form only.
ITEMS = [TURNS[0], SAID | {"content": [{"type": "output_text", "text": "Hello, Ada."}]}, TURNS[2]]
PARTS = [
    {"type": "text", "text": "Write two lines about "},
    {"type": "text", "text": "the sea, \u6d77."},
]
INPUTS = [part | {"type": "input_text"} for part in PARTS]
COUNT = {"role": "user", "content": "Count from one to five."}

# The same conversation as each protocol says it; Responses has no stop sequences.
ASKED: dict[tuple[str, str], Json] = {
    ("chat", "question"): {"messages": [QUESTION]},
    ("messages", "question"): {"messages": [QUESTION]},
    ("responses", "question"): {"input": [QUESTION]},
    ("chat", "turns"): {"messages": [{"role": "system", "content": SYSTEM}, *TURNS]},
    ("messages", "turns"): {"system": SYSTEM, "messages": TURNS},
    ("responses", "turns"): {"instructions": SYSTEM, "input": ITEMS},
    ("chat", "parts"): {"messages": [{"role": "user", "content": PARTS}]},
    ("messages", "parts"): {"messages": [{"role": "user", "content": PARTS}]},
    ("responses", "parts"): {"input": [{"role": "user", "content": INPUTS}]},
    ("chat", "stop"): {"messages": [COUNT], "stop": ["3"]},
    ("messages", "stop"): {"messages": [COUNT], "stop_sequences": ["3"]},
    ("messages", "system in blocks"): {
        "system": [{"type": "text", "text": SYSTEM}, {"type": "text", "text": "Be kind."}],
        "messages": [QUESTION],
    },
    ("responses", "bare text"): {"input": "Name three colours."},
}
LIMIT = {"chat": "max_completion_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}
OUTPUT_TOKENS_MAX = 32  # enough to tell one prompt's answer from another's


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineAddress]:
    with one_slot_engine(tmp_path_factory.mktemp("oracle")) as address:
        yield address


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("protocol", "prompt"), ASKED)
def test_our_translation_and_the_engines_own_endpoint_give_the_same_text(
    engine: EngineAddress, protocol: str, prompt: str, stream: bool
) -> None:
    fixed = {"model": "local/smollm2", "temperature": 0, LIMIT[protocol]: OUTPUT_TOKENS_MAX, "stream": stream}
    asked = ASKED[protocol, prompt] | fixed

    heard = translated(engine, protocol, asked)

    assert heard.strip(), "the model said nothing"
    assert heard == directly(engine, protocol, asked)


@pytest.mark.parametrize("prompt", ["question", "turns", "parts"])
def test_the_same_conversation_gets_the_same_text_in_all_three_protocols(
    engine: EngineAddress, prompt: str
) -> None:
    heard = {
        protocol: translated(
            engine,
            protocol,
            ASKED[protocol, prompt] | {"model": "m", "temperature": 0, limit: OUTPUT_TOKENS_MAX},
        )
        for protocol, limit in LIMIT.items()
    }

    assert len(set(heard.values())) == 1, heard
