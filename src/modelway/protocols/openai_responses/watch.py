"""Looks on while a Responses answer passes through. Only whole frames go on, so that a broken one
never reaches the client and an error can still be told behind what came before it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.protocols.failures import error_from_object
from modelway.protocols.openai_responses.replies import failure_of
from modelway.protocols.openai_responses.response_object import error_object, read_usage
from modelway.protocols.sse import FRAME_BYTES_MAX, frame, one_line

Wire = dict[str, Any]

# The frames that are parsed: the last ones, and errors. Deltas hold none of these words, because a
# quote inside their text is written `\"`.
_WORTH_READING = re.compile(rb'"response\.(?:completed|incomplete|failed|cancelled)"|"error"')
_NAMES_MODEL = re.compile(rb'"response\.(?:created|queued|in_progress|completed|incomplete|failed)"')
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
# Fields the OpenAI SDKs take for an empty event.
_STRIPPABLE = re.compile(rb"\n(?:id|retry):")
_STRIPPED = re.compile(rb"(?:\A|(?<=[\r\n]))(?:id|retry):[^\r\n]*(?:\r\n|\n|\r)")
_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DATA = re.compile(rb"(?:\A|(?<=[\r\n]))data: ?([^\r\n]*)")
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,200})"')
_CREATED = re.compile(rb'"created_at"\s*:\s*(\d{1,12})')
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
# An estimate for a client that leaves early: vendors send about one token per delta.
_DELTA = b'.delta"'

_TRUNCATED = "The provider's stream ended before the answer was complete"


class StreamWatch:
    """`response` is the whole response object, once its last frame has passed."""

    def __init__(self, model_asked: str, model_sent: str) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.error: CallError | None = None
        self.response: Wire | None = None
        self._rename = model_asked if model_asked != model_sent else None
        self._asked = model_asked
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._deltas = 0
        self._first = b""
        self._last = b""

    @property
    def ended(self) -> bool:
        return self.complete

    def feed(self, chunk: bytes) -> bytes:
        if self._held or not chunk.endswith(b"\n\n"):
            chunk = self._whole_frames(chunk)
            if not chunk:
                return b""
        self._deltas += chunk.count(_DELTA)
        if not self._first:
            self._first = chunk
        self._last = chunk
        if _STRIPPABLE.search(chunk) or chunk.startswith((b"id:", b"retry:")):
            chunk = _STRIPPED.sub(b"", chunk)
        if self._rename is not None and _NAMES_MODEL.search(chunk):
            chunk = self._renamed(chunk, self._rename)
        if _WORTH_READING.search(chunk):
            self._look(chunk)
        return chunk

    def _whole_frames(self, chunk: bytes) -> bytes:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > FRAME_BYTES_MAX:
            raise CallError.upstream(f"The provider sent an event of more than {FRAME_BYTES_MAX} bytes")
        if b"\n" not in chunk and b"\r" not in chunk:
            return b""
        held = b"".join(self._held)
        ends = [found.end() for found in _BLANK.finditer(held)]
        # A last CR may be half of a CRLF: it waits.
        cut = ends[-1] if ends and not (ends[-1] == len(held) and held.endswith(b"\r")) else 0
        cut = cut or (ends[-2] if len(ends) > 1 else 0)
        self._held = [held[cut:]] if cut < len(held) else []
        self._held_bytes = len(held) - cut
        return held[:cut]

    def _look(self, chunk: bytes) -> None:
        for found in _DATA.finditer(chunk):
            if not _WORTH_READING.search(found[1]) or self.complete:
                continue
            data = _object(found[1])
            if data is None:
                continue
            if data.get("type") in _ENDS:
                self._ended(data)
            elif data.get("type") == "error" or ("error" in data and "type" not in data):
                self.error = error_from_object(data)
                self.complete = True

    def _ended(self, data: Wire) -> None:
        response = data.get("response")
        self.complete = True
        if isinstance(response, dict):
            self.response = response
            self.usage = read_usage(response)
            self.error = failure_of(response)

    def _renamed(self, chunk: bytes, model: str) -> bytes:
        """The client's own name for the model in each frame that carries a response."""

        def rename(found: re.Match[bytes]) -> bytes:
            data = _object(found[1]) if _NAMES_MODEL.search(found[1]) else None
            if data is None or not isinstance(data.get("response"), dict):
                return found[0]
            data["response"]["model"] = model
            return b"data: " + one_line(msgspec.json.encode(data))

        return _DATA.sub(rename, chunk)

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        """Nothing after a whole answer; else `response.failed`, with `error` set."""
        last = b""
        if self._held:  # some servers leave out the last blank line
            rest = b"".join(self._held)
            self._held = []
            if _WORTH_READING.search(rest):
                last = self.feed(rest.rstrip(b"\r\n") + b"\n\n")
        if self.complete:
            return last
        self.error = failure or CallError.upstream(_TRUNCATED, code="upstream_truncated")
        return self._failure(self.error, request_id)

    def _failure(self, error: CallError, request_id: str) -> bytes:
        id, number = _ID.search(self._first), _NUMBER.findall(self._last)
        created = _CREATED.search(self._first)
        response: Wire = {
            "id": id[1].decode("utf-8", "replace") if id else "resp_unknown",
            "object": "response",
            "created_at": int(created[1]) if created else 0,
            "status": "failed",
            "error": error_object(error),
            "incomplete_details": None,
            "model": self._asked,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        event = {
            "type": "response.failed",
            "sequence_number": int(number[-1]) + 1 if number else 0,
            "response": response,
            "error": error_object(error),
            "request_id": request_id,
        }
        return frame("response.failed", one_line(msgspec.json.encode(event)))

    def output_tokens_estimate(self) -> int:
        return self._deltas


class WholeWatch:
    """A body that is not streamed: read once it is whole."""

    def __init__(self, model_asked: str, model_sent: str) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.error: CallError | None = None
        self.response: Wire | None = None
        self._rename = model_asked if model_asked != model_sent else None
        self._chunks: list[bytes] = []

    @property
    def ended(self) -> bool:
        return self.complete

    def feed(self, chunk: bytes) -> bytes:
        """The chunk; with another model's name to put in, nothing until the body is whole."""
        self._chunks.append(chunk)
        body = b"".join(self._chunks) if len(self._chunks) > 1 else chunk
        data = _object(body) if body.rstrip().endswith(b"}") else None
        if data is None:
            return b"" if self._rename is not None else chunk
        self.complete, self.response = True, data
        self.usage, self.error = read_usage(data), failure_of(data)
        if self.error is None and not isinstance(data.get("output"), list):
            self.error = CallError.upstream("The provider's answer is no response: it has no `output`")
        if self._rename is None:
            return chunk
        if data.get("object") != "response":
            return body
        return one_line(msgspec.json.encode({**data, "model": self._rename}))

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        if not self.complete:
            self.error = CallError.upstream("The provider's answer is not a whole JSON object")
        return b""

    def output_tokens_estimate(self) -> int:
        return sum(map(len, self._chunks)) // 4


def _object(data: bytes) -> Wire | None:
    try:
        value = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return None
    return value if isinstance(value, dict) else None
