"""Streams an answer from the local model, through the gateway or straight from llama.cpp, and times it."""

import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

MODEL = "local/smollm2"
RETRY_S = 0.01  # between calls while the model still loads
READY_TIMEOUT_S = 120
CALL_TIMEOUT_S = 120
STARTING = {404, 503}  # what a gateway answers whose model is not there yet


@dataclass(frozen=True)
class Timed:
    """When the first content came (time.monotonic()), and what the whole answer was."""

    first_content_s: float
    seconds: float
    completion_tokens: int

    @property
    def tokens_per_s(self) -> float:
        return self.completion_tokens / self.seconds


def stream(base_url: str, key: str, tokens_max: int) -> Timed:
    """One streamed Chat completion at temperature 0. Raises OSError or RuntimeError when it is refused."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Write a long story about a fox and a dog."}],
        "max_tokens": tokens_max,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=CALL_TIMEOUT_S)
    try:
        started_s = time.monotonic()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{response.status} {response.read()[:500]!r}", response.status)
        return read(response, started_s)
    finally:
        connection.close()


def read(response: http.client.HTTPResponse, started_s: float) -> Timed:
    first_content_s = 0.0
    tokens = 0
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line.removeprefix(b"data: "))
        if not first_content_s and event["choices"] and event["choices"][0]["delta"].get("content"):
            first_content_s = time.monotonic()
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    if not first_content_s or not tokens:
        raise RuntimeError("the stream ended without content or without usage", 200)
    return Timed(first_content_s, time.monotonic() - started_s, tokens)


def stream_when_loaded(base_url: str, key: str, tokens_max: int) -> Timed:
    """The same, trying again while the model is still being loaded."""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            return stream(base_url, key, tokens_max)
        except RuntimeError as refused:
            if refused.args[1] not in STARTING or time.monotonic() > deadline_s:
                raise
        time.sleep(RETRY_S)
