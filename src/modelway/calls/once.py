"""Idempotency keys: a call that is repeated with the same key is executed once and answered again.

Stands around whatever serves a path: `once(serve)`. The key is taken in the transaction that sets the
call's money aside, so of many that come at once exactly one is sent; the answer is kept for a day.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable

import msgspec

from modelway.calls.admit import InUse, authenticate
from modelway.calls.call import Call, Client, Services
from modelway.calls.refusals import row_without_meter
from modelway.conversation.errors import CallError
from modelway.store import claims
from modelway.store.claims import Claim, Kept

Serve = Callable[[Call, Services, Client], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEADER = "idempotency-key"
KEY_CHARACTERS_MAX = 255  # as other vendors have it
BODY_BYTES_MAX = 1024 * 1024  # kept; a longer answer is executed once and cannot be had again
# Nothing was executed, or trying again is the point: the key stays free.
NOT_KEPT = frozenset({400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 503, 529})
REPLAYED = "replayed"  # the outcome of a call that was told what an earlier one was
_KEY = re.compile(rf"[\x21-\x7e][\x20-\x7e]{{0,{KEY_CHARACTERS_MAX - 1}}}")

_encode = msgspec.json.Encoder().encode
_pairs = msgspec.json.Decoder(list[tuple[str, str]])


def once(serve: Serve) -> Serve:
    """`serve`, at most once per account, path and Idempotency-Key. Without the header it is `serve`."""

    def serve_once(call: Call, services: Services, client: Client) -> Awaitable[None]:
        header = call.headers.get(HEADER)
        if header is None:
            return serve(call, services, client)
        return _serve_once(serve, read_key(header), call, services, client)

    return serve_once


def read_key(header: str) -> str:
    """The key, bare or in the quotes of the IETF's draft. Raises 400."""
    key = header.strip()
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise CallError.invalid(
            f"the Idempotency-Key is {key[:40]!r}; 1 to {KEY_CHARACTERS_MAX} printable characters make one",
            param=HEADER,
        )
    return key


async def _serve_once(serve: Serve, key: str, call: Call, services: Services, client: Client) -> None:
    caller = await authenticate(call, services)
    body = await call.read_body()
    endpoint = call.path

    async def read_again() -> bytes:
        return body

    wanted = Claim(
        caller.account_id,
        endpoint,
        key,
        hashlib.sha256(b"\0".join((b"POST", endpoint.encode(), body))).digest(),
        call.id,
        round(services.now() * 1000),
    )
    recorder = Recorder(client)
    services.usage_log.wanted[call.id] = wanted
    try:
        call.read_body = read_again
        await serve(call, services, recorder)
    except InUse as taken:
        status = await _replay(taken.kept, wanted, client)
        row = row_without_meter(call, caller, status, REPLAYED, None, services)
        services.usage_log.append(row)
    except CallError as error:
        await _keep_error(error, call, services, begun=recorder.status is not None)
        raise
    except BaseException:  # the client left, or we failed: nobody has the answer, so it may be asked again
        await _free(call, services)
        raise
    else:
        await _keep(recorder, call, services)
    finally:
        services.usage_log.wanted.pop(call.id, None)


class Recorder:
    """Passes an answer on and remembers it, up to `BODY_BYTES_MAX`."""

    def __init__(self, client: Client) -> None:
        self.status: int | None = None
        self.headers: Headers = []
        self._client = client
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def gone(self) -> bool:
        return self._client.gone

    @property
    def body(self) -> bytes | None:
        return b"".join(self._pieces) if self._size <= BODY_BYTES_MAX else None

    async def begin(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers
        await self._client.begin(status, headers)

    def write(self, data: bytes) -> Awaitable[None] | None:
        self._remember(data)
        return self._client.write(data)

    def end(self, data: bytes = b"") -> Awaitable[None]:
        self._remember(data)
        return self._client.end(data)

    def _remember(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= BODY_BYTES_MAX:
            self._pieces.append(data)
        else:
            self._pieces.clear()


async def _replay(kept: Kept, wanted: Claim, client: Client) -> int:
    """Say again what the first call was told; its status."""
    if kept.fingerprint != wanted.fingerprint:
        raise CallError(
            "idempotency_mismatch",
            f"the Idempotency-Key {wanted.key[:40]!r} was used for another request; a new one "
            "needs a new key",
            param=HEADER,
        )
    if kept.status is None:
        raise CallError("conflict", "The first call with this Idempotency-Key still runs", retry_after_s=1)
    if not kept.headers:  # its worker died, and left no more than that it had begun to answer
        raise CallError(
            "conflict",
            f"The first call with this Idempotency-Key, {kept.request_id}, was cut off in the middle of its "
            "answer; another execution needs a new key",
            code="idempotency_interrupted",
            should_retry=False,
        )
    if kept.body is None:
        raise CallError(
            "conflict",
            f"The first call with this Idempotency-Key, {kept.request_id}, was executed; "
            "its answer is not kept",
            should_retry=False,
        )
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in _pairs.decode(kept.headers)
    ]
    headers.append((b"idempotent-replayed", b"true"))
    await client.begin(kept.status, headers)
    await client.end(kept.body)
    return kept.status


async def _keep(recorder: Recorder, call: Call, services: Services) -> None:
    if recorder.status is None:
        await _free(call, services)
        return
    await _store(recorder.status, recorder.headers, recorder.body, call, services)


async def _keep_error(error: CallError, call: Call, services: Services, *, begun: bool) -> None:
    """An error of an execution is its outcome; half of a stream is no answer to give twice."""
    status = error.status_on(call.protocol.name)
    if status in NOT_KEPT:
        await _free(call, services)
        return
    body = None if begun else _encode(error.body(call.id))
    await _store(status, [(b"content-type", b"application/json")], body, call, services)


async def _store(status: int, headers: Headers, body: bytes | None, call: Call, services: Services) -> None:
    pairs = _encode([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    await services.database.write(lambda connection: claims.keep(connection, call.id, status, pairs, body))


async def _free(call: Call, services: Services) -> None:
    await services.database.write(lambda connection: claims.release(connection, call.id))
