"""`/v1/usage` and `/v1/usage/logs`: what calls used and cost, in sums and singly; never what was said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from modelway.accounts.periods import DAYS_MAX, DEFAULT, NAMES, Period, moment_text
from modelway.api.management import PAGE_SIZE, PAGE_SIZE_MAX, AccountQuery, Asked, Managed, Page
from modelway.api.reading import usd
from modelway.conversation.errors import KINDS, CallError
from modelway.manage import usage as manage
from modelway.manage.usage import BY, CallPage, Report
from modelway.store.entry_lists import moved
from modelway.store.reports import FAILED, NOT_FAILED, Calls, Group, Named, Place, Sums
from modelway.store.usage import UsageRow

OUTCOMES = (*NOT_FAILED, FAILED, *KINDS)
TERMINAL = ("charge", "estimate", "void")  # of a call's entries, the one there is exactly one of
FILTER_VALUES_MAX = 100  # of one filter: more than a person picks; every row is compared with each
_STATUS = re.compile(r"([1-5])(\d\d|xx)", re.ASCII)
_CURSOR = re.compile(r"(\d{1,14})\.([\w.]{0,64})", re.ASCII)
_FIGURES = (*Sums._fields[:-1], "cost_usd", "cost_nano_usd")
COLUMNS = (
    "request_id",
    "started_at",
    "duration_ms",
    "first_token_ms",
    "key_id",
    "key_name",
    "member_id",
    "member_name",
    "protocol",
    "model",
    "model_asked",
    "provider",
    "upstream_model",
    "upstream_protocol",
    "stream",
    "status",
    "outcome",
    "error_code",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "web_searches",
    "estimated",
    "cost_usd",
    "cost_nano_usd",
    "price_version",
    "charged_usd",
    "transaction_id",
)

Keys = Annotated[tuple[str, ...], Meta(description="Only of these keys: ids.")]
Cursor = Annotated[str, Meta(description="`next_cursor` of the page before.")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_SIZE_MAX, description=f"Rows per page; {PAGE_SIZE} unless said.")]


class PeriodQuery(AccountQuery, frozen=True):
    """Which stretch of time, cut into days where, of which account."""

    period: Annotated[
        str | None,
        Meta(description=f"{', '.join(NAMES)}, or another number of days; {DEFAULT} unless said."),
    ] = None
    start: Annotated[
        str | None, Meta(description="Instead of a period: a date, or a moment as RFC 3339 has it.")
    ] = None
    end: Annotated[
        str | None,
        Meta(description=f"The first moment after it, {DAYS_MAX} days later at most; now unless said."),
    ] = None
    tz: Annotated[
        str, Meta(description="Where days begin, by the IANA's names; UTC unless said. Europe/Berlin.")
    ] = "UTC"

    def when(self, now_ms: int) -> Period:
        """Raises 400."""
        return manage.period_of(self.period, self.start, self.end, now_ms, manage.zone_named(self.tz))


class CallsQuery(PeriodQuery, frozen=True):
    """Which calls."""

    model: Annotated[tuple[str, ...], Meta(description="Only of these models: ids or aliases.")] = ()
    key: Keys = ()
    member: Annotated[tuple[str, ...], Meta(description="Only of keys of these members: ids.")] = ()
    provider: Annotated[tuple[str, ...], Meta(description="Only what these providers answered: names.")] = ()


class UsageQuery(CallsQuery, frozen=True):
    """Which sums."""

    group_by: Annotated[
        tuple[str, ...],
        Meta(description=f"One or several of {', '.join(BY)}, comma between; day unless said."),
    ] = ("day",)


class LogsQuery(CallsQuery, frozen=True):
    """Which rows of the log."""

    status: Annotated[tuple[str, ...], Meta(description="Only with these HTTP statuses: 429, 4xx.")] = ()
    outcome: Annotated[
        tuple[str, ...],
        Meta(
            description="Only calls that ended so: ok, client_gone, replayed, failed (else), an error's kind."
        ),
    ] = ()
    stream: Annotated[bool | None, Meta(description="Only streamed calls, or only those that are not.")] = (
        None
    )
    request_id: Annotated[str | None, Meta(description="That call alone, whenever it was.")] = None
    cursor: Cursor = ""
    limit: Limit = PAGE_SIZE


async def read_usage(asked: Asked) -> Page:
    query: UsageQuery = asked.query
    by = manage.groups_of(parts_of(query.group_by, "group_by"))
    period = query.when(asked.now_ms)
    calls = await _calls(asked, query)
    return report_page(await manage.report(asked.services.database, calls, period, by))


def report_page(report: Report) -> Page:
    """A report as it is shown."""
    rows = [_sums_object(report, group, sums) for group, sums in report.groups.items()]
    columns = (*_heads(report.by), *_FIGURES)
    period, zone = report.period, report.period.zone
    whole = {
        "object": "usage",
        "start": moment_text(period.start_ms, zone),
        "end": moment_text(period.end_ms, zone),
        "timezone": str(zone),
        "group_by": report.by,
        "data": rows,
        "totals": _figures(report.total),
    }
    return Page(rows, columns, whole=whole)


async def read_logs(asked: Asked) -> Page:
    query: LogsQuery = asked.query
    database, zone = asked.services.database, manage.zone_named(query.tz)
    calls = await _calls(asked, query)
    if query.request_id is not None:
        page = await manage.find_call(database, calls, query.request_id)
    else:
        after = place_of(query.cursor) if query.cursor else None
        page = await manage.list_calls(database, calls, query.when(asked.now_ms), after, query.limit)
    then = None if page.then is None else f"{page.then.started_at_ms}.{page.then.request_id}"
    return Page([_call_object(page, row, Period(0, 0, zone)) for row in page.rows], COLUMNS, then)


def keys_of(asked: Asked, wanted: Sequence[str]) -> tuple[str, ...]:
    """The keys whose calls may be read, of those that are wanted; none: every key's. Raises 403."""
    keys = parts_of(wanted, "key")
    if asked.may("usage:read"):
        return keys
    own = asked.asker.key
    if set(keys) - {own.id}:
        raise CallError(
            "forbidden",
            f"the API key {own.masked} reads what it used itself; a management key reads the others', too",
            param="key",
        )
    return (own.id,)


def parts_of(values: Sequence[str], param: str) -> tuple[str, ...]:
    """What is repeated or stands between commas. Raises 400 for nothing at all between them, or too many."""
    parts = tuple(part.strip() for value in values for part in value.split(","))
    if len(parts) > FILTER_VALUES_MAX:
        raise CallError.invalid(
            f"`{param}` has {len(parts)} values; at most {FILTER_VALUES_MAX} are looked for at once",
            param=param,
        )
    if not all(parts):
        raise CallError.invalid(f"`{param}` has an empty part; leave it out, or say which", param=param)
    return parts


def place_of(cursor: str) -> Place:
    """Raises 400."""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise bad_cursor(cursor)
    return Place(int(match[1]), match[2])


def bad_cursor(cursor: str) -> CallError:
    return CallError.invalid(
        f"`cursor` is {cursor[:40]!r}; `next_cursor` of the page before would be right", param="cursor"
    )


def named(names: Mapping[str, Named], id: str | None) -> str | None:
    """The name of a key or member, where it is known."""
    found = names.get(id or "")
    return None if found is None else found.name


async def _calls(asked: Asked, query: CallsQuery) -> Calls:
    account_id = await asked.account_id(query.account)
    statuses: tuple[tuple[int, int], ...] = ()
    outcomes: tuple[str, ...] = ()
    stream: bool | None = None
    if isinstance(query, LogsQuery):
        statuses = tuple(_statuses(part) for part in parts_of(query.status, "status"))
        outcomes, stream = _outcomes(query.outcome), query.stream
    return Calls(
        account_id,
        models=_models(asked, query.model),
        keys=keys_of(asked, query.key),
        members=parts_of(query.member, "member"),
        providers=parts_of(query.provider, "provider"),
        outcomes=outcomes,
        statuses=statuses,
        stream=stream,
    )


def _models(asked: Asked, wanted: Sequence[str]) -> tuple[str, ...]:
    """As they are named, and the models that they name today."""
    names = parts_of(wanted, "model")
    # Where there is none of that name any more, or never was, the name alone is looked for.
    models = map(asked.services.registry.known, names)
    return tuple(dict.fromkeys((*names, *(model.id for model in models if model is not None))))


def _statuses(text: str) -> tuple[int, int]:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise CallError.invalid(
            f"`status` is {text[:40]!r}; an HTTP status such as 429, or a class such as 4xx, would be right",
            param="status",
        )
    return (int(match[1]) * 100, int(match[1]) * 100 + 99) if match[2] == "xx" else (int(text), int(text))


def _outcomes(wanted: Sequence[str]) -> tuple[str, ...]:
    outcomes = parts_of(wanted, "outcome")
    for outcome in outcomes:
        if outcome not in OUTCOMES:
            raise CallError.invalid(
                f"`outcome` is {outcome[:40]!r}; one of {', '.join(OUTCOMES)} would be right", param="outcome"
            )
    return outcomes


def _heads(by: tuple[str, ...]) -> tuple[str, ...]:
    named_too = {"key": ("key_id", "key_name"), "member": ("member_id", "member_name")}
    return tuple(head for name in by for head in named_too.get(name, (name,)))


def _sums_object(report: Report, group: Group, sums: Sums) -> dict[str, object]:
    told_apart: dict[str, object] = {}
    for name, value in zip(report.by, group, strict=True):
        if name in ("key", "member"):
            told_apart |= {f"{name}_id": value, f"{name}_name": named(report.names, value)}
        else:
            told_apart[name] = value
    return told_apart | _figures(sums)


def _figures(sums: Sums) -> dict[str, object]:
    return {**sums._asdict(), "cost_usd": usd(sums.cost_nano_usd)}


def _call_object(page: CallPage, row: UsageRow, period: Period) -> dict[str, object]:
    entries = page.entries.get(row.request_id, ())
    cache_writes = (row.cache_write_5m_tokens, row.cache_write_1h_tokens)
    return {
        "request_id": row.request_id,
        "started_at": moment_text(row.started_at_ms, period.zone),
        "duration_ms": row.duration_ms,
        "first_token_ms": row.first_token_ms,
        "key_id": row.key_id,
        "key_name": named(page.names, row.key_id),
        "member_id": row.member_id,
        "member_name": named(page.names, row.member_id),
        "protocol": row.protocol,
        "model": row.model or row.model_asked or None,
        "model_asked": row.model_asked or None,
        "provider": row.provider,
        "upstream_model": row.model_answered,
        "upstream_protocol": row.upstream_protocol,
        "stream": bool(row.stream),
        "status": row.status,
        "outcome": row.outcome,
        "error_code": row.error_code,
        "input_tokens": row.input_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_write_tokens": None
        if cache_writes == (None, None)
        else sum(each or 0 for each in cache_writes),
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "audio_input_tokens": row.audio_input_tokens,
        "audio_output_tokens": row.audio_output_tokens,
        "web_searches": row.web_searches,
        "estimated": bool(row.estimated),
        "cost_usd": usd(row.cost_nano_usd),
        "cost_nano_usd": row.cost_nano_usd,
        "price_version": row.price_version,
        "charged_usd": usd(-sum(moved(entry) for entry in entries)),
        "transaction_id": next((entry.id for entry in entries if entry.kind in TERMINAL), None),
    }


ROWS = (
    Managed(
        "GET", "/v1/usage", "usage:read_own", read_usage, "Usage", "Sum up what calls used",
        "Requests, tokens and cost of a period. An API key reads its own; a management key, the account's.",
        query=UsageQuery, returns="Usage", has_csv=True,
    ),
    Managed(
        "GET", "/v1/usage/logs", "usage:read_own", read_logs, "Usage", "List calls",
        "One row per call, failed and refused ones too, newest first. An API key reads its own; a management "
        "key, the account's.",
        query=LogsQuery, returns="LoggedCall", is_page=True,
    ),
)  # fmt: skip
