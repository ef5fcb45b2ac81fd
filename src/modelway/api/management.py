"""What every management path has in common: who asks, whether they may, what they said, how it is answered.

A path is a row: `Managed("GET", "/v1/keys", "keys:read", list_keys, "Keys", "List the keys", query=…)`,
listed in `api.managed`. A handler gets an `Asked` and gives back something for JSON, or a `Page` (which is
CSV for whoever asks for that). Whether the key may, by the table in `accounts.roles`, is settled before it
runs; a path without a row there is closed.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from modelway.accounts.keys import Key, may_reach
from modelway.accounts.roles import Asker, check, may
from modelway.api.edge import AsgiClient, Body, BodyLimits, Receive, Scope
from modelway.api.endpoint import Endpoint, no_body
from modelway.api.reading import Nothing, read_body, read_query
from modelway.api.routes import Route
from modelway.calls.admit import authenticate
from modelway.calls.call import Services
from modelway.conversation.errors import CallError
from modelway.manage.access import account_of, asker_of
from modelway.manage.ids import SYSTEM, Doer, Source

# A key with a hundred models and a hundred addresses is 25 KiB.
BODY_BYTES_MAX = 64 * 1024
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run the text of such a cell


PAGE_SIZE, PAGE_SIZE_MAX = 50, 1000  # rows; a thousand keys are 500 KB

AnyAccount = Annotated[
    str | None, Meta(description="Another account's name or id; only for the installation's owner.")
]


class PageQuery(Struct, frozen=True):
    """Which page of a list, of which account."""

    cursor: Annotated[str, Meta(description="`next_cursor` of the page before.")] = ""
    limit: Annotated[
        int, Meta(ge=1, le=PAGE_SIZE_MAX, description=f"Rows per page; {PAGE_SIZE} unless said.")
    ] = PAGE_SIZE
    account: AnyAccount = None


class AccountQuery(Struct, frozen=True):
    """Of which account."""

    account: AnyAccount = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and where the next ones begin: `next_cursor`, which is given back as `cursor`.

    `columns` name the fields of every row in their order; CSV has these and no others. `whole` is the JSON
    where that is more than a list.
    """

    rows: Sequence[Mapping[str, object]]
    columns: tuple[str, ...]
    next_cursor: str | None = None
    whole: Mapping[str, object] | None = None


class Row(Protocol):
    """What a page is made of: the next page begins after the last one's id."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


def page_of(
    found: Sequence[R], limit: int, shown: Callable[[R], Mapping[str, object]], columns: tuple[str, ...]
) -> Page:
    """The first `limit` of what was found when one more was asked for: that one says that there is more."""
    more = found[limit - 1].id if len(found) > limit else None
    return Page([shown(each) for each in found[:limit]], columns, more)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a management path, read. `id` is what stands for `{id}` in the path."""

    asker: Asker
    services: Services
    secret: bytes
    request_id: str
    id: str
    query: Any  # of the row's own types
    body: Any
    idempotency_key: str | None = None

    @property
    def source(self) -> Source:
        """Ids and times for `manage`, and who asks, for the trail."""
        key = self.asker.key
        return replace(SYSTEM, doer=Doer("api", key.id, key.member_id, self.request_id))

    @property
    def now_ms(self) -> int:
        return round(self.services.now() * 1000)

    def may(self, action: str) -> bool:
        """Whether whoever asks may do this, too."""
        return may(self.asker, action)

    async def account_id(self, wanted: str | None) -> str:
        """The account that is meant: one's own, or for the installation's owner any. Raises 404."""
        return await account_of(self.services.database, self.asker, wanted)


Answer = Callable[[Asked], Awaitable[object]]


class Managed(NamedTuple):
    """One management path: what it is called, who may (`accounts.roles.RULES`), who answers, what the
    reference says of it. `returns` is a component of `openapi_objects`, of each row for a page.
    """

    method: str
    path: str  # `{id}` stands for one segment, or for all that follows if `long_id`
    action: str
    answer: Answer
    group: str
    summary: str
    says: str = ""
    query: type[Struct] = Nothing
    body: type[Struct] | None = None
    returns: str | None = None
    is_page: bool = False
    has_csv: bool = False  # though it is no page
    body_bytes_max: int = BODY_BYTES_MAX
    long_id: bool = False


def routes(
    rows: Iterable[Managed], services: Services, secret: bytes, limits: Callable[[int], BodyLimits]
) -> list[Route]:
    """The rows as routes: those whose paths differ only behind `{id}` share one."""
    groups: dict[tuple[str, str], list[Managed]] = {}
    for row in rows:
        groups.setdefault((row.method, row.path.partition("{")[0]), []).append(row)
    return [
        Route(method, path, Management(tuple(group), services, secret, limits))
        for (method, path), group in groups.items()
    ]


class Management(Endpoint):
    """Management paths of one method that begin alike."""

    def __init__(
        self,
        rows: tuple[Managed, ...],
        services: Services,
        secret: bytes,
        limits: Callable[[int], BodyLimits],
    ) -> None:
        super().__init__(services.protocols["chat"], services)
        self._rows, self._secret, self._limits = rows, secret, limits

    async def respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        try:
            await self._respond(scope, receive, client, request_id)
        except CallError as error:
            about = {"method": scope["method"], "path": scope["path"][:200], "code": error.code}
            self._services.log.write("info", "refused", request_id=request_id, **about)
            raise

    async def _respond(self, scope: Scope, receive: Receive, client: AsgiClient, request_id: str) -> None:
        services, call = self._services, self.call(scope, no_body, request_id)
        key: Key = await authenticate(call, services, may_reach)
        row, id_ = self._row(scope)
        asker = await asker_of(services.database, key)
        check(asker, row.action)
        query_string, as_csv = _without_format(scope["query_string"])
        query = read_query(row.query, query_string)
        body: Struct = Nothing()
        sent = Body(receive, call.headers, self._limits(row.body_bytes_max))
        if row.body is not None:
            raw = b"{}"
            if call.headers.get("content-length", "0") != "0" or "transfer-encoding" in call.headers:
                raw = await sent.read()
            body = read_body(row.body, raw)
        if row.method == "GET":  # whoever leaves need not wait for a report; a change is made all the same
            await sent.skip()
            client.listen()
        once = call.headers.get("idempotency-key")
        asked = Asked(asker, services, self._secret, request_id, id_, query, body, once)
        answer = await row.answer(asked)
        if not isinstance(answer, Page):
            await client.answer(200, answer, NOT_STORED)
        elif as_csv or call.headers.get("accept", "").startswith("text/csv"):
            await _send_csv(client, answer)
        else:
            # On a thread: ten thousand rows take as long as hundreds of calls, which would wait for them.
            await client.answer(200, await asyncio.to_thread(_json, answer), NOT_STORED)

    def _row(self, scope: Scope) -> tuple[Managed, str]:
        path: str = scope["path"]
        for row in self._rows:
            before, _, after = row.path.partition("{id}")
            middle = path[len(before) : len(path) - len(after)]
            is_id = bool(middle) and middle.isprintable() and (row.long_id or "/" not in middle)
            if path == row.path or (is_id and path == f"{before}{middle}{after}"):
                return row, middle
        raise CallError("not_found", f"There is nothing at {scope['method']} {path[:200]!r}")


NOT_STORED = [(b"cache-control", b"no-store")]


def _without_format(query_string: bytes) -> tuple[bytes, bool]:
    """`format=csv` belongs to every path; the rest of the query to its own."""
    parts = query_string.split(b"&")
    asked = [part[len(b"format=") :] for part in parts if part.startswith(b"format=")]
    if any(each not in (b"csv", b"json") for each in asked):
        raise CallError.invalid("`format` must be json or csv", param="format")
    return b"&".join(part for part in parts if not part.startswith(b"format=")), asked[-1:] == [b"csv"]


def _json(page: Page) -> bytes:
    return msgspec.json.encode(
        page.whole
        or {
            "object": "list",
            "data": page.rows,
            "has_more": page.next_cursor is not None,
            "next_cursor": page.next_cursor,
        }
    )


async def _send_csv(client: AsgiClient, page: Page) -> None:
    data = await asyncio.to_thread(csv_of, page)
    headers = [
        *NOT_STORED,
        (b"content-type", b"text/csv; charset=utf-8"),
        (b"content-length", str(len(data)).encode()),
    ]
    if page.next_cursor is not None:
        headers.append((b"x-next-cursor", page.next_cursor.encode()))
    await client.begin(200, headers)
    await client.end(data)


def csv_of(page: Page) -> bytes:
    """RFC 4180, with a line of names."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(page.columns)
    for row in page.rows:
        writer.writerow([_cell(row.get(column)) for column in page.columns])
    return out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return value
        case str():
            is_number = value.lstrip("-").replace(".", "", 1).isdigit()
            return f"'{value}" if value.startswith(FORMULA_STARTS) and not is_number else value
        case _:
            return msgspec.json.encode(value).decode()
