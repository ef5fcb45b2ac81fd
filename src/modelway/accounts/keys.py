"""What a program holds: how a key is written, hashed, masked, and what it may do. Pure.

The text of a key leaves this program once, when it is made; what is kept is its HMAC and its mask.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from modelway.accounts.rates import RateLimits
from modelway.conversation.errors import CallError

PREFIX = "sk-mw-"  # tools that check for `sk-` keep working; `mw` tells a secret scanner whose it is
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS = 32  # 190 bits: guessing is hopeless, so one fast hash is enough at rest
CHECKSUM_CHARACTERS = 6  # 62**6 > 2**32: the whole CRC-32
RANDOM_BYTES = 32  # 256 bits folded into 190 leave a bias below 2**-64
SHA_256_BLOCK_BYTES = 64
VOUCHER_PREFIX = "mw-"
VOUCHER_CHARACTERS = 22  # 130 bits; people type it
KEY_CHARACTERS = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS

# What a secret scanner looks for.
KEY_PATTERN = rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}}"
_KEY = re.compile(KEY_PATTERN, re.ASCII)

Resets = Literal["never", "daily", "weekly", "monthly"]
KeyKind = Literal["api", "management"]  # what calls models, and what manages; never both

ADDRESSES_MAX = 100  # networks of one key; more is a firewall's job
ENDPOINTS_MAX = 50  # there are not as many paths

MODEL_PATTERNS_MAX = 100  # a list that a person can read; more is a wildcard's job
MODEL_PATTERN_CHARACTERS_MAX = 200  # the longest model ids in use are below 100
_MODEL_PATTERN = re.compile(r"[A-Za-z0-9._:/@+*\-]+")
_ENDPOINT = re.compile(r"/[A-Za-z0-9._/*\-]{0,100}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the gateway knows it: never its text, which is not kept.

    Times are milliseconds since 1970. `models` are ids or patterns with `*`; None allows every model.
    `limit_nano_usd` is what may be spent before `resets` starts the count again; None is no limit.
    `endpoints` are paths or patterns with `*`, `addresses` networks (`10.0.0.0/8`) it may be used from;
    None allows every one. `replaces_id` is the key it was made to take over from, `first_id` the first of all
    those, link by link. `rate_limits` None: the installation's defaults.
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
    kind: KeyKind = "api"
    endpoints: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    replaces_id: str | None = None
    rate_limits: RateLimits | None = None
    first_id: str | None = None

    @property
    def chain(self) -> str:
        """What its limits are counted under: the same for every key that took over from another."""
        return self.first_id or self.id


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
    begun = _keyed(secret)
    inner, outer = begun[0].copy(), begun[1].copy()
    inner.update(key.encode("utf-8", "surrogatepass"))
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=8)  # an installation has one secret
def _keyed(secret: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Both halves of HMAC (RFC 2104) with the secret taken in: every call hashes a key with the same one, and
    going on from here takes a fifth of `hmac.digest`.
    """
    block = (secret if len(secret) <= SHA_256_BLOCK_BYTES else hashlib.sha256(secret).digest()).ljust(
        SHA_256_BLOCK_BYTES, b"\0"
    )
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(
        bytes(byte ^ 0x5C for byte in block)
    )


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


def parse_endpoints(patterns: list[str] | None) -> tuple[str, ...] | None:
    """Paths as somebody wrote them, checked; None or nothing allows every path."""
    if not patterns:
        return None
    if len(patterns) > ENDPOINTS_MAX or any(not _ENDPOINT.fullmatch(each) for each in patterns):
        raise CallError.invalid(
            f"endpoints are {patterns[:3]!r}…; at most {ENDPOINTS_MAX} paths such as /v1/messages or "
            "/v1/responses* are right",
            param="endpoints",
        )
    return tuple(dict.fromkeys(patterns))


def parse_addresses(networks: list[str] | None) -> tuple[str, ...] | None:
    """Addresses and networks as somebody wrote them, in their usual form; None allows every address."""
    if not networks:
        return None
    if len(networks) > ADDRESSES_MAX:
        raise CallError.invalid(
            f"{len(networks)} addresses are listed, a key takes {ADDRESSES_MAX}", param="addresses"
        )
    try:
        return tuple(dict.fromkeys(str(ip_network(each.strip(), strict=False)) for each in networks))
    except ValueError as error:
        raise CallError.invalid(
            f"{str(error)[:100]}; addresses such as 192.0.2.7 or networks such as 10.0.0.0/8 are right",
            param="addresses",
        ) from None


def may_call(key: Key, path: str, address: str | None) -> None:
    """Return if `key` may call models on `path` from `address`, else raise."""
    if key.kind != "api":
        raise CallError("forbidden", f"the key {key.masked} is a management key; models take an API key")
    may_reach(key, path, address)


def may_reach(key: Key, path: str, address: str | None) -> None:
    """Return if `key` may be used on `path` from `address`, whatever its kind, else raise. An address that is
    not known is none of those that are listed.
    """
    if key.endpoints is not None and not any(
        pattern == path or _matches(pattern, path) for pattern in key.endpoints
    ):
        raise CallError(
            "forbidden", f"the key {key.masked} may not use {path}; it may use {', '.join(key.endpoints)}"
        )
    if key.addresses is not None and not _is_within(key.addresses, address):
        raise CallError("forbidden", f"the key {key.masked} may not be used from {address}")


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


def _is_within(networks: tuple[str, ...], address: str | None) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # an IPv4 client of an IPv6 socket
    return any((mapped or found) in _network(each) for each in networks)


@lru_cache(maxsize=4096)  # parsing takes longer than looking
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


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
