"""Ids that sort by the time they were made: a prefix, 48 bits of milliseconds, 80 bits of randomness.

The shape is ULID's (https://github.com/ulid/spec): 26 characters of Crockford's base 32, so ids made
later compare greater as text in every database, and an index on them grows at its end.
"""

from __future__ import annotations

from collections.abc import Callable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u, which people misread
RANDOM_BYTES = 10  # 80 bits: two ids of one millisecond collide once in 2**40 tries
# Two characters at a time, for speed: every call gets an id. 13 pairs hold 130 bits, the id has 128.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))
_NOW_MS_MAX = 2**48 - 1  # the year 10889
_TIME_SHIFTS = _SHIFTS[-5:]  # 48 bits are the first ten characters
_RANDOM_CHARACTERS = 16
# Asking the system for randomness takes longer than making the id; so it is asked for many ids at once, with
# a byte for every character: its upper three bits are not used.
_AHEAD = 256
_CHARACTER_OF_BYTE = (ALPHABET * 8).encode()


def sortable_id(prefix: str, now_ms: int, random_bytes: bytes) -> str:
    """`key_01hzx…`: `prefix`, an underscore, 26 characters. `random_bytes` are 10, of a secure source."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"an id needs {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    number = _valid_time(now_ms) << (8 * RANDOM_BYTES) | int.from_bytes(random_bytes)
    return f"{prefix}_{_written(number, _SHIFTS)}"


def _valid_time(now_ms: int) -> int:
    if not 0 <= now_ms <= _NOW_MS_MAX:
        raise ValueError(f"an id's time is 0 to {_NOW_MS_MAX} ms since 1970, not {now_ms}")
    return now_ms


def _written(number: int, shifts: tuple[int, ...]) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in shifts])


class Mint:
    """Makes ids for whoever needs many: `mint("req_")`. Not for two threads or processes at once."""

    def __init__(self, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]) -> None:
        self._now_ms, self._random_bytes = now_ms, random_bytes
        self._made_at_ms: int | None = None  # the last id's time
        self._time = ""  # how that is written
        self._ahead, self._used = "", 0  # random characters, and how many of them are in an id already

    def __call__(self, prefix: str) -> str:
        """A new sortable id: `req_01hzx…`."""
        now_ms = self._now_ms()
        if now_ms != self._made_at_ms:
            self._made_at_ms, self._time = now_ms, _written(_valid_time(now_ms), _TIME_SHIFTS)
        if self._used == len(self._ahead):
            some = self._random_bytes(_AHEAD * _RANDOM_CHARACTERS)
            self._ahead, self._used = some.translate(_CHARACTER_OF_BYTE).decode("ascii"), 0
        begin = self._used
        self._used += _RANDOM_CHARACTERS
        return f"{prefix}{self._time}{self._ahead[begin : self._used]}"
