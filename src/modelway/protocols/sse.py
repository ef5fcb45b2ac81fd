"""Server-sent events: bytes in, frames out, whatever the chunks; and the one way we write a frame.

Follows the WHATWG rules (CR, LF and CRLF end lines, a BOM is skipped, comments are comments), except
that a last frame without its blank line is given out at the end: vendors' servers do omit it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from modelway.conversation.errors import CallError

# The largest event seen from a vendor is a redacted thinking block of some 100 KiB; 8 MiB bounds memory.
FRAME_BYTES_MAX = 8 * 1024 * 1024

_END_OF_FRAME = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n|\r\n\r|\n\r")
_LINE = re.compile(rb"\r\n|\n|\r")
# As numbers: a byte is found in bytes five times as fast as a string of one byte.
LF, CR = b"\n\r"
# JSON may carry these bare; some clients split lines on them.
_UNSAFE = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\u0085": "\\u0085"}


class Frame(NamedTuple):
    """One event: its name (empty when there was no `event:` line) and its data, lines joined."""

    event: str
    data: bytes


class Frames:
    """Cuts a byte stream into frames. Any re-chunking of the same bytes gives the same frames."""

    def __init__(self) -> None:
        self._held = b""
        self._begun = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes; raises `CallError` (502) for a frame past the limit."""
        if self._begun and not self._held and _is_one_line(chunk):
            return [Frame("", chunk[6:-2])]
        held = self._held + chunk if self._held else chunk
        if not self._begun and len(held) >= 3:
            self._begun = True
            held = held.removeprefix(b"\xef\xbb\xbf")
        *blocks, self._held = held.split(b"\n\n") if CR not in held else _blocks(held)
        frames: list[Frame] = []
        for block in blocks:
            _append(frames, block)
        if len(self._held) > FRAME_BYTES_MAX:
            raise CallError.upstream(f"The provider sent an event of more than {FRAME_BYTES_MAX} bytes")
        return frames

    def end(self) -> list[Frame]:
        """What the stream's end completes."""
        frames: list[Frame] = []
        _append(frames, self._held.removeprefix(b"\xef\xbb\xbf"))
        self._held = b""
        return frames


def _is_one_line(chunk: bytes) -> bool:
    """Whether this is one frame of one line of data and nothing else: the usual chunk of Chat."""
    return (
        chunk.startswith(b"data: ")
        and chunk.endswith(b"\n\n")
        and chunk.count(b"\n") == 2
        and CR not in chunk
    )


def _blocks(held: bytes) -> list[bytes]:
    """The frames in `held`, whichever way their lines end; the last is the unfinished one."""
    # A trailing CR may be half of a CRLF, so it waits for the next chunk.
    searchable = len(held) - 1 if held.endswith(b"\r") else len(held)
    blocks, begin = [], 0
    while found := _END_OF_FRAME.search(held, begin, searchable):
        blocks.append(held[begin : found.start()])
        begin = found.end()
    return [*blocks, held[begin:]]


def _append(frames: list[Frame], block: bytes) -> None:
    lines = block.split(b"\n") if CR not in block else _LINE.split(block)
    event, data = "", []
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    if data:
        frames.append(Frame(event, b"\n".join(data)))


def frame(event: str, data: bytes) -> bytes:
    """One frame. `data` is JSON on one line; `event` is a name of ours, empty for a bare data frame."""
    head = b"event: " + event.encode("ascii") + b"\n" if event else b""
    return head + b"data: " + data + b"\n\n"


def one_line(data: bytes) -> bytes:
    """JSON text without the three characters some clients take for line ends."""
    if data.isascii():
        return data
    if b"\xe2\x80\xa8" not in data and b"\xe2\x80\xa9" not in data and b"\xc2\x85" not in data:
        return data
    text = data.decode("utf-8")
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return text.encode("utf-8")


COMMENT_HEARTBEAT = b": hb\n\n"
