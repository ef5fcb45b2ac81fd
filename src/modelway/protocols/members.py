"""Where the top-level members of a JSON object stand in its bytes, so that one value can be replaced
and every other byte stays as it came. Finds doubled names and too deep nesting on the way.
"""

from __future__ import annotations

import re

import msgspec

from modelway.conversation.errors import CallError

# Deeper than any body a vendor documents; recursion in whoever reads it next stays shallow.
DEPTH_MAX = 64

_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'[\s,{]*"[^"\\]*(?:\\.[^"\\]*)*"\s*:\s*')
_TAIL = re.compile(rb"\s*\}\s*")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")

Span = tuple[int, int]


def spans(body: bytes) -> dict[str, Span]:
    """Begin and end of each top-level value of `body`.

    Raises `CallError` (400) if `body` is no JSON object, repeats a top-level name, or nests too deep.
    """
    try:
        values = _objects.decode(body)
        if not body.isascii():
            body.decode()  # text that is only skipped over is not checked by the decoder
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as reason:
        raise CallError.invalid(f"The body is not a JSON object: {reason}", code="invalid_json") from None
    if depth_exceeds(body, DEPTH_MAX):
        raise _too_deep()
    found: dict[str, Span] = {}
    end = 0
    for name, value in values.items():
        key = _KEY.match(body, end)
        if key is None:
            raise _doubled()
        begin = key.end()
        end = begin + memoryview(value).nbytes
        if not body.startswith(value, begin):  # a buffer: nothing is copied
            raise _doubled()
        found[name] = (begin, end)
    # `values` holds a doubled name once, so a body with one is longer than the members found.
    if not _TAIL.fullmatch(body, end) and found:
        raise _doubled()
    return found


def _too_deep() -> CallError:
    return CallError.invalid(f"The body nests deeper than {DEPTH_MAX} levels", code="invalid_json")


def _doubled() -> CallError:
    return CallError.invalid(
        "The body names a top-level field twice; each may stand once", code="invalid_json"
    )


def depth_exceeds(body: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than `limit`. `body` is valid JSON."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_ONE_KIND, _NOT_STRUCTURE)
    brackets = b"".join(bare.split(b'"')[::2])
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def replaced(body: bytes, span: Span, value: bytes) -> bytes:
    """`body` with `value` where `span` was."""
    return body[: span[0]] + value + body[span[1] :]
