"""A picture small enough to send as it is and plain enough to recognise."""

from __future__ import annotations

import struct
import zlib


def red_picture() -> bytes:
    """A PNG of 64 x 64 red pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    rows = (b"\x00" + b"\xff\x00\x00" * 64) * 64
    ends = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ends
