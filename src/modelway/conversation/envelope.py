"""Reasoning one vendor signed, carried through another vendor's dialect and back, unchanged.

`mw1.<base64url(zlib(msgpack))>.<8-byte HMAC>`: opaque to the client, tamper-evident to us. Only what
carries this installation's HMAC is opened again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib

import msgspec
from msgspec import Struct

from modelway.conversation.parts import Reasoning, Secret

PREFIX = "mw1."
# Anthropic's redacted thinking blocks run to some tens of KiB; a larger envelope is not ours.
OPENED_BYTES_MAX = 4 * 1024 * 1024


class _Sealed(Struct, omit_defaults=True):
    vendor: str
    kind: str
    value: str
    model: str = ""
    id: str = ""
    text: str = ""
    summaries: tuple[str, ...] = ()
    redacted: bool = False


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_Sealed)


def is_envelope(value: str) -> bool:
    return value.startswith(PREFIX)


def _tag(secret: bytes, payload: bytes) -> bytes:
    return hmac.new(secret, b"reasoning-envelope:" + payload, hashlib.sha256).digest()[:8]


def seal(reasoning: Reasoning, secret: bytes) -> str:
    """The envelope of one reasoning part, whole: text, summaries and the vendor's own secret."""
    inner = reasoning.secret
    sealed = _Sealed(
        vendor=inner.vendor if inner else "other",
        kind=inner.kind if inner else "none",
        value=inner.value if inner else "",
        model=inner.model if inner else "",
        id=inner.id if inner else "",
        text=reasoning.text,
        summaries=reasoning.summaries,
        redacted=reasoning.redacted,
    )
    payload = base64.urlsafe_b64encode(zlib.compress(_encoder.encode(sealed)))
    tag = base64.urlsafe_b64encode(_tag(secret, payload))
    return f"{PREFIX}{payload.decode().rstrip('=')}.{tag.decode().rstrip('=')}"


def open_envelope(value: str, secret: bytes) -> Reasoning | None:
    """The reasoning inside, or None if this installation did not seal it."""
    payload_text, _, tag_text = value.removeprefix(PREFIX).rpartition(".")
    try:
        payload = _padded(payload_text)
        tag = base64.urlsafe_b64decode(_padded(tag_text))
        if not hmac.compare_digest(tag, _tag(secret, payload)):
            return None
        inflater = zlib.decompressobj()
        packed = inflater.decompress(base64.urlsafe_b64decode(payload), OPENED_BYTES_MAX)
        if inflater.unconsumed_tail:
            return None
        sealed = _decoder.decode(packed)
    except (ValueError, zlib.error, msgspec.MsgspecError):
        return None
    return _reasoning(sealed)


def _padded(text: str) -> bytes:
    return (text + "=" * (-len(text) % 4)).encode("ascii", "replace")


def _reasoning(sealed: _Sealed) -> Reasoning:
    inner = None
    if sealed.kind != "none":
        inner = msgspec.convert(
            {
                "vendor": sealed.vendor,
                "kind": sealed.kind,
                "value": sealed.value,
                "model": sealed.model,
                "id": sealed.id,
            },
            Secret,
        )
    return Reasoning(text=sealed.text, summaries=sealed.summaries, secret=inner, redacted=sealed.redacted)
