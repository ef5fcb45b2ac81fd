"""Frames of one stream that differ in one word: what stood around it once need not be read again.

A model says a word or two in each frame, and the rest of the frame (its id, its time, a dozen nulls) is the
same hundreds of times. Only bytes are compared here; whoever asks knows what a frame means.
"""

from __future__ import annotations

import re

from modelway.protocols.sse import CR, LF

# Kinds of frames remembered for one stream. Few streams have more than three; a server that puts something
# new into every frame shall not cost more than it did.
KINDS_MAX = 16
QUOTE, BACKSLASH = b'"\\'  # as numbers, like those of `sse`


class Usual:
    """The kind of frame that was looked at last: all of it but its word."""

    __slots__ = ("_after", "_before", "_begin", "_end", "_kinds_left", "_place")

    def __init__(self, member: str) -> None:
        """`member` is the JSON member whose text is the word."""
        self._place = re.compile(rb'"%b" ?: ?"([^"\\]*)"[,}]' % member.encode())
        self._kinds_left = KINDS_MAX
        self._before = self._after = b""
        self._begin = self._end = 0

    def learn(self, frame: bytes) -> str | None:
        """From here on frames like this one are usual. The word, or None: then it cannot be told."""
        self.forget()
        if not self._kinds_left:
            return None
        self._kinds_left -= 1
        found = list(self._place.finditer(frame))
        if len(found) != 1:
            return None
        self._begin, self._end = found[0].start(1), found[0].end(1) - len(frame)
        self._before, self._after = frame[: self._begin], frame[self._end :]
        return self.word(frame)

    def forget(self) -> None:
        self._before = b""

    def fits(self, frame: bytes) -> bool:
        """Whether the frame is of the usual kind, whatever its word."""
        before = self._before
        return before != b"" and frame.startswith(before) and frame.endswith(self._after, self._begin)

    def tells_nothing(self, frame: bytes) -> bool:
        """Whether the frame is of the usual kind, and its word ends neither the text nor the frame: then
        there is nothing in it that the first of its kind did not have.
        """
        before, begin = self._before, self._begin
        if not (before and frame.startswith(before) and frame.endswith(self._after, begin)):
            return False  # `fits`, without a call: this runs for every chunk of every answer that passes
        word = frame[begin : self._end]
        return QUOTE not in word and LF not in word and CR not in word

    def word(self, frame: bytes) -> str | None:
        """The word of a frame of the usual kind. None for any other, and for a word that JSON writes with
        escapes or not at all.
        """
        if not self.fits(frame):
            return None
        word = frame[self._begin : self._end]
        if QUOTE in word or BACKSLASH in word:
            return None
        try:
            text = word.decode()
        except UnicodeDecodeError:
            return None
        return text if text.isprintable() else None
