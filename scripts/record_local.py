"""Records the local model's real traffic on its three endpoints into tests/recordings/local.

Run it as `python -m scripts.record_local` when llama.cpp or the model changes. Bodies are written as they
came, ids and timings included; one thread and one slot make the text the same each time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from modelway.engine.leadership import EngineAddress
from modelway.engine.process import Engine
from modelway.engine.settings import EngineSettings
from modelway.engine.weights import find_or_fetch

RECORDINGS = Path(__file__).parents[1] / "tests" / "recordings" / "local"
WAIT_S = 60  # a start and each answer take seconds; a busy machine may take ten times that
CONTEXT_TOKENS = 512  # small, so that a prompt of a page already overflows it

Json = dict[str, Any]
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
CAPITAL = [{"role": "user", "content": "What is the capital of France? One sentence."}]
TURNS = [
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Hello, Ada."},
    {"role": "user", "content": "What is my name?"},
]
# llama.cpp takes an assistant's turn on its Responses endpoint in this form only.
SAID = {"type": "message", "role": "assistant", "status": "completed"}
ITEMS = [TURNS[0], SAID | {"content": [{"type": "output_text", "text": "Hello, Ada."}]}, TURNS[2]]
SYSTEM = "You answer in one short sentence."
COUNT = [{"role": "user", "content": "Count from one to five."}]
POEM = [{"role": "user", "content": "Write a poem about the sea."}]
CITY = [{"role": "user", "content": "Name a city and its country."}]
TOO_LONG = [{"role": "user", "content": "The sea is deep and wide. " * 120}]
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
TURN_NONE: list[Json] = [{"role": "user", "content": [{"type": "no_such_part"}]}]

# What each protocol asks, by case. Responses has no stop sequences; llama.cpp's Messages has no schema.
# llama.cpp's Responses endpoint takes `text.format` and does not enforce it, and calls an answer that its
# limit cut `completed`: the recordings show both.
ASKED: dict[str, dict[str, Json]] = {
    "chat": {
        "text": {"messages": CAPITAL, "max_tokens": 24},
        "turns": {"messages": [{"role": "system", "content": SYSTEM}, *TURNS], "max_tokens": 24},
        "stop_sequence": {"messages": COUNT, "max_tokens": 24, "stop": ["3"]},
        "max_tokens": {"messages": POEM, "max_tokens": 6},
        "schema": {
            "messages": CITY,
            "max_tokens": 40,
            "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}},
        },
        "error_invalid": {"messages": TURN_NONE, "max_tokens": 4},
        "error_context_length": {"messages": TOO_LONG, "max_tokens": 4},
    },
    "messages": {
        "text": {"messages": CAPITAL, "max_tokens": 24},
        "turns": {"system": SYSTEM, "messages": TURNS, "max_tokens": 24},
        "stop_sequence": {"messages": COUNT, "max_tokens": 24, "stop_sequences": ["3"]},
        "max_tokens": {"messages": POEM, "max_tokens": 6},
        "error_invalid": {"max_tokens": 4},
        "error_context_length": {"messages": TOO_LONG, "max_tokens": 4},
    },
    "responses": {
        "text": {"input": CAPITAL, "max_output_tokens": 24},
        "turns": {"instructions": SYSTEM, "input": ITEMS, "max_output_tokens": 24},
        "max_tokens": {"input": POEM, "max_output_tokens": 6},
        "schema": {
            "input": CITY,
            "max_output_tokens": 40,
            "text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA}},
        },
        "error_invalid": {"input": TURN_NONE, "max_output_tokens": 4},
        "error_context_length": {"input": TOO_LONG, "max_output_tokens": 4},
    },
}
STREAMED: dict[str, Json] = {
    "chat": {"stream": True, "stream_options": {"include_usage": True}},
    "messages": {"stream": True},
    "responses": {"stream": True},
}


def ask(address: EngineAddress, protocol: str, body: Json) -> tuple[int, bytes]:
    """The status and the bytes the engine answers `body` with."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {address.api_key}"}
    request = Request(address.base_url + PATHS[protocol], json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def record(address: EngineAddress) -> None:
    """Every case of every protocol, whole and, unless it is refused, streamed."""
    for protocol, cases in ASKED.items():
        for case, fields in cases.items():
            body = {"model": "local/smollm2", "temperature": 0} | fields
            status, whole = ask(address, protocol, body)
            if (status != 200) != case.startswith("error"):
                raise SystemExit(f"{protocol} {case}: the engine answered {status}: {whole[:300]!r}")
            (RECORDINGS / f"{protocol}_{case}.json").write_bytes(whole)
            if status == 200:
                streamed = ask(address, protocol, body | STREAMED[protocol])[1]
                (RECORDINGS / f"{protocol}_{case}.sse").write_bytes(streamed)


async def _run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        engine = Engine(
            EngineSettings(
                model_path=find_or_fetch(data_dir, None),
                data_dir=data_dir,
                threads=1,
                slots=1,
                context_tokens=CONTEXT_TOKENS,
                wait_s=WAIT_S,
            )
        )
        try:
            await asyncio.to_thread(record, await engine.address())
        finally:
            await engine.stop()


def main() -> None:
    """Write the recordings; leaves those of cases that no longer exist to the eye of whoever commits."""
    RECORDINGS.mkdir(parents=True, exist_ok=True)
    asyncio.run(_run())
    written = sorted(RECORDINGS.iterdir())
    sys.stdout.write(f"{len(written)} files, {sum(file.stat().st_size for file in written)} bytes\n")


if __name__ == "__main__":
    main()
