"""What a program holds: how a key is written, hashed, masked, and what it may do. Pure.

The text of a key leaves this program once, when it is made; what is kept is its HMAC and its mask.
"""

from __future__ import annotations

import hmac
import re
import zlib
from dataclasses import dataclass
from typing import Literal

from modelway.conversation.errors import CallError

PREFIX = "sk-mw-"  # tools that check for `sk-` keep working; `mw` tells a secret scanner whose it is
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS = 32  # 190 bits: guessing is hopeless, so one fast hash is enough at rest
CHECKSUM_CHARACTERS = 6  # 62**6 > 2**32: the whole CRC-32
RANDOM_BYTES = 32  # 256 bits folded into 190 leave a bias below 2**-64
VOUCHER_PREFIX = "mw-"
VOUCHER_CHARACTERS = 22  # 130 bits; people type it
KEY_CHARACTERS = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS

# What a secret scanner looks for.
KEY_PATTERN = rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}}"
_KEY = re.compile(KEY_PATTERN, re.ASCII)

Resets = Literal["never", "daily", "weekly", "monthly"]

MODEL_PATTERNS_MAX = 100  # a list that a person can read; more is a wildcard's job
MODEL_PATTERN_CHARACTERS_MAX = 200  # the longest model ids in use are below 100
_MODEL_PATTERN = re.compile(r"[A-Za-z0-9._:/@+*\-]+")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the gateway knows it: never its text, which is not kept.

    Times are milliseconds since 1970. `models` are ids or patterns with `*`; None allows every model.
    `limit_nano_usd` is what may be spent before `resets` starts the count again; None is no limit.
    """

    id: str
    account_id: str
    name: str
    masked: str
    created_at_ms: int
    member_id: str | None = None
    models: tuple[str, ...] | None = None
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None
    limit_nano_usd: int | None = None
    resets: Resets = "never"


def mint(random_bytes: bytes) -> str:
    """A new key's text out of 32 bytes of a secure source."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key needs {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    body = PREFIX + _base62(int.from_bytes(random_bytes), RANDOM_CHARACTERS)
    return body + _checksum(body)


def mint_voucher(random_bytes: bytes) -> str:
    """A new voucher's text out of 32 bytes of a secure source: like a key, under another prefix."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a voucher needs {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    return VOUCHER_PREFIX + _base62(int.from_bytes(random_bytes), VOUCHER_CHARACTERS)


def looks_valid(text: str) -> bool:
    """Whether `text` has a key's shape and its checksum is right: what fails here needs no database."""
    if len(text) != KEY_CHARACTERS or _KEY.fullmatch(text) is None:
        return False
    return _checksum(text[:-CHECKSUM_CHARACTERS]) == text[-CHECKSUM_CHARACTERS:]


def digest(secret: bytes, key: str) -> bytes:
    """What the database keeps: 32 bytes of HMAC-SHA-256, useless without the installation's secret."""
    return hmac.digest(secret, key.encode("utf-8", "surrogatepass"), "sha256")


def mask(key: str) -> str:
    """`sk-mw-abcd…wxyz`: enough to recognise a key by, not to use it."""
    start = len(PREFIX) + 4
    return f"{key[:start]}…{key[-4:]}"


def parse_models(patterns: list[str] | None) -> tuple[str, ...] | None:
    """A list of model ids or patterns as somebody wrote it, checked; None or nothing allows every model."""
    if not patterns:
        return None
    if len(patterns) > MODEL_PATTERNS_MAX:
        raise CallError.invalid(
            f"{len(patterns)} models are listed, a key takes {MODEL_PATTERNS_MAX}; "
            "a pattern such as `openai/*` stands for many",
            param="models",
        )
    for pattern in patterns:
        if len(pattern) > MODEL_PATTERN_CHARACTERS_MAX or not _MODEL_PATTERN.fullmatch(pattern):
            raise CallError.invalid(
                f"{pattern[:MODEL_PATTERN_CHARACTERS_MAX]!r} is no model id; letters, digits and ._:/@+- "
                "make one, and `*` stands for any run of characters",
                param="models",
            )
    return tuple(dict.fromkeys(patterns))


def is_alive(key: Key, now_ms: int) -> bool:
    """Neither revoked nor expired. Which of the two, the owner is told, not whoever holds the key."""
    revoked = key.revoked_at_ms is not None and now_ms >= key.revoked_at_ms
    return not revoked and (key.expires_at_ms is None or now_ms < key.expires_at_ms)


def may_use(key: Key, model: str | None, now_ms: int) -> None:
    """Return if `key` may call `model` now (None asks only whether the key is alive), else raise."""
    if not is_alive(key, now_ms):
        raise CallError("unauthenticated", "This API key is not valid here")
    if model is not None and not allows(key, model):
        raise CallError(
            "forbidden",
            f"the key {key.masked} may not use {model!r}; it may use {', '.join(key.models or ())}",
            param="model",
        )


def allows(key: Key, model: str) -> bool:
    """Whether `model` is among those the key is for; a list of models to show is filtered by this."""
    if key.models is None:
        return True
    return any(pattern == model or _matches(pattern, model) for pattern in key.models)


def _matches(pattern: str, model: str) -> bool:
    """Shell-like `*` without a regular expression: `.*` many times over takes exponential time to fail."""
    first, *rest = pattern.split("*")
    if not rest or not model.startswith(first):
        return False
    position = len(first)
    for piece in rest[:-1]:
        found = model.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return len(model) - position >= len(rest[-1]) and model.endswith(rest[-1])


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("ascii")), CHECKSUM_CHARACTERS)


def _base62(number: int, characters: int) -> str:
    """The lowest `characters` digits of `number`, most significant first."""
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
