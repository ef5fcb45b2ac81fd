"""Looks on while Messages bytes pass through: usage, errors and truncation, without parsing what holds
none of them. Only whole frames are passed, so that an error frame can follow a stream cut in mid-frame.
"""

from __future__ import annotations

import msgspec

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.protocols.anthropic_messages.read_blocks import Fields
from modelway.protocols.anthropic_messages.read_streams import TRUNCATED
from modelway.protocols.anthropic_messages.usage import merged, read_usage
from modelway.protocols.anthropic_messages.wire import encode
from modelway.protocols.anthropic_messages.write_streams import error_frame, event_frame
from modelway.protocols.failures import error_from_object
from modelway.protocols.members import replaced, spans
from modelway.protocols.sse import FRAME_BYTES_MAX, Frame, Frames

# A text delta's frame without its text; what is more is text, at about four bytes a token.
DELTA_FRAME_BYTES = 120
BYTES_PER_TOKEN = 4


class StreamWatch:
    """Watches a stream. See `interface.Watch`."""

    def __init__(self, model_asked: str, model_sent: str) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.error: CallError | None = None
        self._model = model_asked if model_asked != model_sent else None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._edge = b""  # the last bytes held, for a frame's end that two chunks share
        self._fields: Fields = {}
        self._stopped = False
        self._told = False  # the client saw the upstream's own error frame
        self._deltas = 0
        self._delta_bytes = 0

    @property
    def ended(self) -> bool:
        return self.complete

    def feed(self, chunk: bytes) -> bytes:
        if not self._held and chunk.endswith(b"\n\n"):
            return self._look(chunk)
        seam = self._edge + chunk
        cut = max(seam.rfind(b"\n\n") + 2, seam.rfind(b"\n\r\n") + 3)
        if cut <= 2:
            return self._hold(chunk)
        cut -= len(self._edge)
        whole = b"".join((*self._held, chunk[:cut]))
        self._held, self._held_bytes, self._edge = [], 0, b""
        self._hold(chunk[cut:])
        return self._look(whole)

    def _hold(self, rest: bytes) -> bytes:
        if rest:
            self._held.append(rest)
            self._held_bytes += len(rest)
            self._edge = (self._edge + rest)[-2:]
            if self._held_bytes > FRAME_BYTES_MAX:
                raise CallError.upstream(f"The provider sent an event of more than {FRAME_BYTES_MAX} bytes")
        return b""

    def _look(self, whole: bytes) -> bytes:
        """Whole frames: count the deltas, parse the rest only if it says something."""
        deltas = whole.count(b"event: content_block_delta")
        if deltas:
            self._deltas += deltas
            if whole.count(b"event: ") == deltas:  # nothing but deltas, as nearly always
                self._delta_bytes += len(whole)
        if b'"usage"' not in whole and b"message_stop" not in whole and b"error" not in whole:
            return whole
        frames = Frames()
        for frame in (*frames.feed(whole), *frames.end()):
            whole = self._frame(frame, whole)
        return whole

    def _frame(self, frame: Frame, whole: bytes) -> bytes:
        """Note what a frame says; only the first one may change, for the model's name."""
        if not frame.data.startswith(b"{"):
            return whole
        try:
            data = msgspec.json.decode(frame.data)
        except (msgspec.MsgspecError, RecursionError):
            return whole
        kind = data.get("type")
        if kind == "message_start" and isinstance(data.get("message"), dict):
            self._note_usage(data["message"].get("usage"))
            return self._renamed(frame.data, whole)
        if kind == "message_delta":
            self._note_usage(data.get("usage"))
            self._stopped = self._stopped or (data.get("delta") or {}).get("stop_reason") is not None
        elif kind == "message_stop":
            self.complete = True
        elif kind == "error" or frame.event == "error" or (kind is None and data.get("error")):
            self.error = error_from_object(data, None)
            self._told = frame.event == "error"
        return whole

    def _note_usage(self, fields: Fields | None) -> None:
        if fields:
            self._fields = merged(self._fields, fields)
            self.usage = read_usage(self._fields)

    def _renamed(self, data: bytes, whole: bytes) -> bytes:
        if self._model is None:
            return whole
        try:
            begin, end = spans(data)["message"]
            message = data[begin:end]
            model = spans(message)["model"]
        except (CallError, KeyError):  # an odd server's frame passes as it is
            return whole
        return whole.replace(message, replaced(message, model, encode(self._model)), 1)

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        """What must follow the upstream's last bytes."""
        held, self._held = b"".join(self._held), []
        rest = self._look(held + b"\n\n") if held and _last_frame(held) else b""
        if self.complete or (self.error is not None and self._told):
            return rest
        if self.error is None and self._stopped:
            self.complete = True
            return rest + event_frame("message_stop", {})
        if self.error is None:
            self.error = failure or CallError.upstream(TRUNCATED, code="upstream_truncated")
        return rest + error_frame(self.error, request_id)

    def output_tokens_estimate(self) -> int:
        text_bytes = self._delta_bytes - self._deltas * DELTA_FRAME_BYTES
        return max(self._deltas, text_bytes // BYTES_PER_TOKEN)


def _last_frame(held: bytes) -> bool:
    """Whether the bytes left at the end are a frame that lacks only its blank line."""
    data = held.rstrip().rpartition(b"data:")[2]
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True


class WholeWatch:
    """Watches a body that comes in one piece. The pieces are joined, because only the whole is JSON."""

    def __init__(self, model_asked: str, model_sent: str) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.error: CallError | None = None
        self._model = model_asked if model_asked != model_sent else None
        self._body = b""

    @property
    def ended(self) -> bool:
        return self.complete

    def feed(self, chunk: bytes) -> bytes:
        """Nothing until the body is whole; then all of it."""
        self._body = self._body + chunk if self._body else chunk
        if not self._body.rstrip().endswith(b"}"):
            return b""
        try:
            members = spans(self._body)
        except CallError:
            return b""
        return self._whole(members)

    def _whole(self, members: dict[str, tuple[int, int]]) -> bytes:
        def value(name: str) -> Fields | str | None:
            begin, end = members.get(name, (0, 0))
            found: Fields | str | None = msgspec.json.decode(self._body[begin:end]) if end else None
            return found

        if value("error") is not None or value("type") == "error":
            self.error = error_from_object(msgspec.json.decode(self._body), None)
            return self._body
        if self._body[slice(*members.get("content", (0, 0)))][:1] != b"[":
            self.error = CallError.upstream("The provider's answer is no message: it has no `content`")
            return self._body
        usage = value("usage")
        if isinstance(usage, dict):
            self.usage = read_usage(usage)
        self.complete = True
        if self._model is None or "model" not in members:
            return self._body
        return replaced(self._body, members["model"], encode(self._model))

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        if not self.complete and self.error is None:
            self.error = CallError.upstream(
                "The provider's answer ended before it was complete", code="upstream_truncated"
            )
        return b""

    def output_tokens_estimate(self) -> int:
        return max(1, len(self._body) // BYTES_PER_TOKEN) if self._body else 0
