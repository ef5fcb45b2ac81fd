"""Keeps a response while it goes to its client: on the disk before its last byte leaves.

The relay knows nothing of it: a `Keeper` is a client that stands before the client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw, Struct

from modelway.calls.call import Client, Services, taken
from modelway.conversation.errors import CallError
from modelway.protocols.sse import Frames
from modelway.store import responses
from modelway.store.responses import KEPT_MS, StoredResponse

Item = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

# Silence after which a background run is taken for dead: several times the renewal, so that one slow
# commit kills nobody.
LEASE_MS = 30_000
# Deltas hold none of these words, because a quote inside their text is written `\"`.
_MATTERS = re.compile(rb'"response\.(?:created|completed|incomplete|failed|cancelled)"')
_NO_PREVIOUS = re.compile(rb'"previous_response_id"\s*:\s*null')
_encode = msgspec.json.Encoder().encode


class _Named(Struct):
    id: Any = None


class _Outcome(Struct):
    """What has to be known of a response object; the rest is kept as it is."""

    id: str
    status: str = "completed"
    output: list[_Named] = []


class _Event(Struct):
    type: str
    response: Raw = Raw()


_outcomes = msgspec.json.Decoder(_Outcome)
_events = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is known of a response before it is made.

    `earlier` are the items of the responses it goes on from (`chain_ids`, oldest first), `items` its own.
    """

    account_id: str
    key_id: str
    created_at_ms: int
    items: Sequence[Item]
    earlier: Sequence[Item] = ()
    chain_ids: tuple[str, ...] = ()
    stores: bool = True
    background: bool = False

    @property
    def previous_id(self) -> str | None:
        return self.chain_ids[-1] if self.chain_ids else None

    def row(
        self, response_id: str, status: str, response: bytes, lease_until_ms: int | None
    ) -> StoredResponse:
        """The row of this response, under the id its client was given."""
        # An upstream that repeats its ids (a recording that is played again) would make a ring of the
        # chain: then the whole of it is written out.
        rings = response_id in self.chain_ids
        items = [*self.earlier, *self.items] if rings else list(self.items)
        return StoredResponse(
            id=response_id,
            account_id=self.account_id,
            key_id=self.key_id,
            created_at_ms=self.created_at_ms,
            expires_at_ms=self.created_at_ms + KEPT_MS,
            status=status,
            previous_id=None if rings else self.previous_id,
            input=_encode(items),
            response=response,
            lease_until_ms=lease_until_ms,
        )

    @property
    def item_ids(self) -> list[str]:
        return [item["id"] for item in self.items if isinstance(item.get("id"), str)]


class Keeper:
    """Passes an answer on and keeps it. `id` is the response's, once it is known: for a background run
    it is given before, and the object that is kept has it whatever the provider said.
    """

    def __init__(
        self, client: Client, keeping: Keeping, services: Services, *, stream: bool, id: str = ""
    ) -> None:
        self.id = id
        self.over = False
        self._is_mine = bool(id)
        self._client, self._keeping, self._services, self._stream = client, keeping, services, stream
        self._head: tuple[int, Headers] | None = None

    @property
    def gone(self) -> bool:
        return self._client.gone

    async def begin(self, status: int, headers: Headers) -> None:
        if self._stream:
            await self._client.begin(status, headers)
        else:
            self._head = status, headers  # a whole answer begins when it is on the disk

    async def write(self, data: bytes) -> None:
        await taken(self._client.write(await self._seen(data)))

    async def end(self, data: bytes = b"") -> None:
        if self._head is None:
            await self._client.end(await self._seen(data) if data else data)
            return
        status, headers = self._head
        body = self._continued(data)
        if not await self._keep(body):
            headers = [*headers, (b"x-modelway-warnings", b"response_not_stored;param=store")]
        if len(body) != len(data):
            headers = [(name, value) for name, value in headers if name != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
        await self._client.begin(status, headers)
        await self._client.end(body)

    def _continued(self, data: bytes) -> bytes:
        """The provider was sent the whole conversation; its answer says what the client went on from."""
        if self._keeping.previous_id is None or b'"previous_response_id"' not in data:
            return data
        named = b'"previous_response_id":' + _encode(self._keeping.previous_id)
        return _NO_PREVIOUS.sub(lambda _: named, data)

    async def _seen(self, data: bytes) -> bytes:
        """`data` as it goes to the client; when it holds the answer's end, that is kept first."""
        data = self._continued(data)
        if self._keeping.stores and _MATTERS.search(data):
            frames = Frames()
            for frame in [*frames.feed(data), *frames.end()]:
                if _MATTERS.search(frame.data):
                    await self._event(frame.data)
        return data

    async def _event(self, data: bytes) -> None:
        try:
            event = _events.decode(data)
        except msgspec.MsgspecError:
            return
        response = bytes(event.response)
        if not response:
            return
        if event.type != "response.created":
            await self._keep(response)
        elif self._keeping.background and not self.id:
            await self._open(response)

    async def _open(self, response: bytes) -> None:
        """A streamed background run: from here on it can be found, and cancelled, by its id."""
        outcome = _outcomes.decode(response)
        row = self._keeping.row(
            outcome.id, "in_progress", self._own(response, outcome.id), self.lease_until_ms()
        )
        keeping = self._keeping
        await self._services.database.write(
            lambda connection: responses.keep(connection, row, keeping.item_ids, keeping.chain_ids)
        )
        self.id = outcome.id

    def lease_until_ms(self) -> int:
        return round(self._services.now() * 1000) + LEASE_MS

    async def open_queued(self, response: bytes) -> None:
        """A background run whose client has its id before anything is done."""
        keeping = self._keeping
        row = keeping.row(self.id, "queued", response, self.lease_until_ms())
        await self._services.database.write(
            lambda connection: responses.keep(connection, row, keeping.item_ids, keeping.chain_ids)
        )

    async def _keep(self, response: bytes) -> bool:
        """Put the outcome on the disk; False if the database would not have it. The answer was made and is
        paid for: it goes out all the same, and the next turn will say that it is not there.
        """
        self.over = True
        if not self._keeping.stores:
            return True
        try:
            outcome = _outcomes.decode(response)
            await self.finish(outcome.id, outcome.status, response, [each.id for each in outcome.output])
        except (CallError, msgspec.MsgspecError) as error:
            self._services.log.write("error", "response_not_stored", error=str(error)[:200])
            return False
        return True

    async def finish(self, id: str, status: str, response: bytes, item_ids: Sequence[Any] = ()) -> None:
        """Keep an outcome. Raises CallError when the database does not answer."""
        keeping = self._keeping
        self.over = True
        ids = [*keeping.item_ids, *(item_id for item_id in item_ids if isinstance(item_id, str))]
        if keeping.background:
            row = keeping.row(self.id, status, self._own(response, self.id), None)
            await self._services.database.write(lambda connection: responses.finish(connection, row, ids))
            return
        row = keeping.row(id, status, response, None)
        await self._services.database.write(
            lambda connection: responses.keep(connection, row, ids, keeping.chain_ids)
        )

    def _own(self, response: bytes, id: str) -> bytes:
        """A background run's object: under the id its client has, and saying how it was run."""
        if not self._is_mine and b'"background":true' in response:
            return response
        return _encode({**msgspec.json.decode(response), "id": id, "background": True, "store": True})
