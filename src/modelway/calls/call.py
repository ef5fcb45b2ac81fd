"""One use of the gateway, and what it needs to be served. Values only; the page is `serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from modelway.accounts.keys import Key
from modelway.catalog.cards import Catalog
from modelway.conversation.errors import CallError
from modelway.conversation.translation import Warning
from modelway.engine.process import Engine
from modelway.limits.limiter import Limiter
from modelway.observe import Log, Metrics
from modelway.protocols.interface import ProtocolName, Request, WireProtocol
from modelway.providers.registry import Registry
from modelway.providers.upstream import UpstreamClient
from modelway.store.database import Database
from modelway.store.keyring import KeyRing
from modelway.store.usage import UsageLog


class Client(Protocol):
    """Whoever called, while it listens. `gone` turns true the moment it hangs up."""

    @property
    def gone(self) -> bool: ...

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> Awaitable[None]: ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """A piece of a stream. None when the client has room for more, and nothing needs to be waited for."""

    def end(self, data: bytes = b"") -> Awaitable[None]: ...


async def taken(writing: Awaitable[None] | None) -> None:
    """Wait, if need be, until a client has taken what `write` wrote."""
    if writing is not None:
        await writing


def unheeded(ended: asyncio.Future[Any]) -> None:
    """A callback for what nobody waits for: how it ended is seen elsewhere, or need not be."""
    if not ended.cancelled():
        ended.exception()


class Call(Struct, eq=False):
    """A request as it came in. `headers` have lower-case names; `body` reads on first use."""

    id: str
    protocol: WireProtocol
    headers: Mapping[str, str]
    read_body: Callable[[], Awaitable[bytes]]
    began_s: float  # monotonic
    began_at_ms: int  # since 1970
    path: str
    address: str  # where it came from; empty when that is not known
    warnings: list[Warning] = msgspec.field(default_factory=list)  # what its model's card made of it
    headers_out: list[tuple[bytes, bytes]] = msgspec.field(default_factory=list)  # of any answer, errors too
    reply_id: str = ""  # the id a response has been promised under, before it is made
    key: Key | None = None  # once it is known whose call it is
    asked: Request | None = None  # once its body is understood
    booked: bool = False  # once its record is with the ledger

    @property
    def strict(self) -> bool:
        return self.headers.get("x-modelway-strict") == "1"

    @property
    def extensions(self) -> bool:
        return self.headers.get("x-modelway-extensions") == "1"


class Admitted(Protocol):
    """A call under way, as whoever has to end it sees it."""

    def end(self, why: CallError) -> None:
        """Break it off; its client is told why."""

    def abandon(self) -> None:
        """Break it off without a word: its client does not listen any more."""


def header_value(text: str) -> bytes:
    """`text` as a header can carry it: what is not printable, or not Latin-1, becomes a question mark."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else "?" for each in text)
    return text.encode("latin-1", "replace")


@dataclass(slots=True)
class Timeouts:
    """Seconds, monotonic."""

    first_content_s: float
    idle_s: float
    total_s: float
    heartbeat_s: float
    write_stall_s: float


@dataclass(slots=True)
class Services:
    """What every call shares. Built once in `app`; `registry` is replaced whole on a change."""

    registry: Registry
    offer: Callable[[Iterable[str]], Registry]  # the registry as it would be with cards of these texts
    keys: KeyRing
    upstreams: UpstreamClient
    database: Database
    usage_log: UsageLog
    limits: Limiter
    metrics: Metrics
    log: Log
    protocols: Mapping[ProtocolName, WireProtocol]
    engine: Engine | None
    mint: Callable[[str], str]
    clock: Callable[[], float]  # monotonic seconds
    now: Callable[[], float]  # epoch seconds
    choose: Callable[[], float]  # 0 ≤ x < 1, for weighted targets
    envelope_secret: bytes
    timeouts: Timeouts
    concurrency_max: int
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose x-forwarded-for is believed
    live: int = 0
    draining: bool = False
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)  # the requests that `live` counts
    admitted: set[Admitted] = field(default_factory=set)  # the calls that have passed `admit`
    streams: set[Callable[[CallError], None]] = field(default_factory=set)  # how to end each background run
    background: set[asyncio.Task[None]] = field(default_factory=set)  # runs without a client
    hear_of_cards: Callable[[], Awaitable[None]] | None = None  # take cards that were just changed, now
    told_idle: Callable[[], None] = lambda: None  # called when a live call ends while draining

    @property
    def catalog(self) -> Catalog:
        """The cards of this moment; who needs models as well takes `registry` once and its `catalog`."""
        return self.registry.catalog
