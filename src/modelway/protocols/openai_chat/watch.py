"""Looks on while Chat answers pass through: takes the usage, notices errors and a missing end.

Whole frames only go to the client, so that a `retry:` line or a name to replace is never half sent.
No JSON is parsed for a chunk without one of the few words that matter.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.protocols.failures import error_from_object
from modelway.protocols.members import replaced, spans
from modelway.protocols.openai_chat.stops import is_ended
from modelway.protocols.openai_chat.stream_writer import error_frame
from modelway.protocols.openai_chat.usage import read_usage
from modelway.protocols.sse import CR, FRAME_BYTES_MAX
from modelway.protocols.usual import Usual

_END_OF_FRAME = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LINE = re.compile(rb"\r\n|\n|\r")
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')


class _Chunk(msgspec.Struct):
    usage: dict[str, Any] | None = None
    choices: list[Any] | None = None
    error: Any = None
    type: Any = None


_chunks = msgspec.json.Decoder(_Chunk)


def _truncated() -> CallError:
    return CallError.upstream("The provider's answer ended before it was complete", code="upstream_truncated")


class StreamWatch:
    """For a streamed answer. `complete` once a reason to stop was seen, `ended` with `[DONE]`: the usage
    stands between the two.
    """

    __slots__ = (
        "_drops_usage",
        "_frames",
        "_held",
        "_model",
        "_usual",
        "complete",
        "ended",
        "error",
        "usage",
    )

    def __init__(self, model: str | None, include_usage: bool) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.ended = False
        self.error: CallError | None = None
        self._model = b'"model":' + msgspec.json.encode(model) if model is not None else None
        self._drops_usage = not include_usage
        self._held = b""
        self._frames = 0
        self._usual = Usual("content")  # a frame without news

    def feed(self, chunk: bytes) -> bytes:
        """The frames that `chunk` completes."""
        if not self._held and self._usual.tells_nothing(chunk):
            self._frames += 1
            return chunk
        if self._held:
            chunk = self._held + chunk
        if not chunk.endswith(b"\n\n"):
            chunk = self._hold_back(chunk)
        else:
            self._held = b""
        # One frame of one line: the usual chunk.
        if chunk.count(b"\n") == 2 and chunk.startswith(b"data:") and CR not in chunk:
            self._frames += 1
            if self._model is not None or _matters(chunk):
                return self._frame(chunk)
            if not self._usual.fits(chunk):
                self._usual.learn(chunk)
            return chunk
        frames = _cut(chunk)
        self._frames += len(frames)
        return b"".join([self._frame(frame) for frame in frames])

    def _hold_back(self, chunk: bytes) -> bytes:
        """All up to the last end of a frame; the rest waits for its own."""
        end = chunk.rfind(b"\n\n") + 2
        if CR in chunk:
            ends = [found.end() for found in _END_OF_FRAME.finditer(chunk)]
            # A final CR may be the first half of CRLF.
            end = max((at for at in ends if at < len(chunk) or not chunk.endswith(b"\r")), default=0)
        elif end == 1:
            end = 0
        self._held = chunk[end:]
        if len(self._held) > FRAME_BYTES_MAX and self.error is None:
            self.error = CallError.upstream(
                f"The provider sent an event of more than {FRAME_BYTES_MAX} bytes"
            )
            self._held = b""
        return chunk[:end]

    def _frame(self, frame: bytes) -> bytes:
        """One frame, looked into if it matters, as the client gets it."""
        if self._model is not None:
            frame = _MODEL.sub(lambda _: self._model or b"", frame, count=1)
        if frame.count(b"\n") == 2 and frame.startswith(b"data:") and not _matters(frame):
            return frame
        lines = [line for line in _LINE.split(frame) if line]
        kept = [line for line in lines if not line.startswith((b"id:", b"retry:"))]
        if any(line.startswith(b"data:") for line in kept):
            data = b"\n".join(line[5:].removeprefix(b" ") for line in kept if line.startswith(b"data:"))
            if not self._look(data):
                return b""
        elif len(kept) < len(lines) and not any(line.startswith(b":") for line in kept):
            return b""  # nothing but a retry or an id, which OpenAI's SDK takes for an empty event
        return frame if len(kept) == len(lines) else b"\n".join(kept) + b"\n\n"

    def _look(self, data: bytes) -> bool:
        """Note what `data` tells; whether the client gets it."""
        if data.strip() == b"[DONE]":
            self.complete = self.ended = True
            return True
        try:
            chunk = _chunks.decode(data)
            if chunk.error or chunk.type == "error":
                self.error = error_from_object(msgspec.json.decode(data))
                return True
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return True
        first = chunk.choices[0] if chunk.choices else None
        if isinstance(first, dict) and is_ended(first.get("finish_reason")):
            self.complete = True
        if chunk.usage is not None:
            self.usage = read_usage(chunk.usage)
            return bool(chunk.choices) or not self._drops_usage
        return True

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        """What is left, and an error frame if the answer never ended by itself."""
        held, self._held = self._held.strip(b"\r\n"), b""
        last = b""
        if held:  # a last frame without its blank line, or the half of one
            data = held.removeprefix(b"data:").strip()
            if data == b"[DONE]" or _is_json(data):
                last = self._frame(held + b"\n\n")
        if self.complete or self.error is not None:
            return last
        self.error = failure or _truncated()
        return last + error_frame(self.error, request_id)

    def output_tokens_estimate(self) -> int:
        """About one token a frame; the first says the role and the last two say nothing."""
        return max(0, self._frames - 1)


def _matters(frame: bytes) -> bool:
    """Whether a word stands in this frame of one line that needs a look. Runs for every chunk of every
    answer: `find` and a short slice cost a fifth of a regular expression.
    """
    at = frame.find(b'"finish_reason":')
    if at >= 0 and b'"' in frame[at + 16 : at + 18]:  # JSON writers put one space behind a colon or none
        return True
    at = frame.find(b'"usage":')
    if at >= 0 and b"{" in frame[at + 8 : at + 10]:
        return True
    return b'"error":' in frame or frame.startswith((b"data: [DONE]", b"data:[DONE]")) or CR in frame


def _cut(chunk: bytes) -> list[bytes]:
    if CR not in chunk:  # as nearly always; the expression costs a hundred times as much
        *whole, rest = chunk.split(b"\n\n")
        frames = [frame + b"\n\n" for frame in whole]
        return [*frames, rest] if rest else frames
    frames = []
    begin = 0
    for found in _END_OF_FRAME.finditer(chunk):
        frames.append(chunk[begin : found.end()])
        begin = found.end()
    return [*frames, chunk[begin:]] if begin < len(chunk) else frames


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


class WholeWatch:
    """For an answer in one piece. The caller gathers it, so that an error inside a 200 can still become
    a status.
    """

    def __init__(self, model: str | None) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.ended = False
        self.error: CallError | None = None
        self._model = model
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        first = not self._pieces
        self._pieces.append(chunk)
        if first and self._look(chunk) and self._model is not None:
            return _renamed(chunk, self._model)
        return chunk

    def _look(self, body: bytes) -> bool:
        """Read the usage and the errors of a whole body; False while it is not whole."""
        try:
            found = _chunks.decode(body)
            if found.error or found.type == "error":
                self.error = error_from_object(msgspec.json.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        self.complete = bool(found.choices)
        self.usage = read_usage(found.usage) if found.usage is not None else None
        if self.error is None and not found.choices:
            self.error = CallError.upstream("The provider's answer holds no choices")
        return True

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        if not self.complete and self.error is None and not self._look(b"".join(self._pieces)):
            self.error = _truncated()
        return b""

    def output_tokens_estimate(self) -> int:
        return sum(map(len, self._pieces)) // 4


def _renamed(body: bytes, model: str) -> bytes:
    try:
        found = spans(body).get("model")
    except CallError:  # a doubled name: rather the provider's bytes than none
        return body
    return replaced(body, found, msgspec.json.encode(model)) if found else body
