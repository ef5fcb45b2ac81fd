"""The generated pages of docs/reference: settings, errors, metrics, translation losses. Text is made here
from the code's own rows, so that a page and the code cannot disagree; `scripts/docs.py` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from modelway.accounts.roles import ROLES, RULES
from modelway.api.managed import ROWS as MANAGED
from modelway.config import (
    Config,
    EngineConfig,
    LimitsConfig,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    TargetConfig,
    TimeoutConfig,
)
from modelway.conversation.errors import KINDS
from modelway.conversation.features import FEATURES
from modelway.conversation.translation import Fate, Loss
from modelway.observe import Metrics
from modelway.protocols.anthropic_messages.losses import LOSSES as MESSAGES_LOSSES
from modelway.protocols.openai_chat.losses import LOSSES as CHAT_LOSSES
from modelway.protocols.openai_responses.losses import LOSSES as RESPONSES_LOSSES

Rows = Iterable[tuple[str, ...]]
WRITTEN_BY = "<!-- written by `make docs` from the code; edit there -->"
FATES = {
    Fate.KEPT: "kept",
    Fate.EXTENSION: "kept, in an extension field",
    Fate.SILENT: "dropped: a hint that changes nothing of the answer",
    Fate.CHANGED: "changed, with the warning",
    Fate.REFUSED: "refused (400)",
}


def table(heads: tuple[str, ...], rows: Rows) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def settings() -> str:
    """Every knob with its variable, default and reason."""
    parts = [
        "# Settings",
        WRITTEN_BY,
        "Written in `modelway.yaml`, or as environment variables, which win. What is not set has a default "
        "that works.",
    ]
    for title, struct, prefix in (
        ("General", Config, ""),
        ("Local model: `engine`", EngineConfig, "engine."),
        ("Timeouts: `timeouts`", TimeoutConfig, "timeouts."),
        ("Rate limits of every key: `limits`", LimitsConfig, "limits."),
    ):
        rows = [
            (
                f"`{prefix}{knob.name}`",
                f"`MODELWAY_{(prefix + knob.name).replace('.', '_').upper()}`",
                *_described(knob),
            )
            for knob in msgspec.structs.fields(struct)
            if knob.name not in {"engine", "timeouts", "limits", "providers", "models"}
        ]
        parts += [f"## {title}", table(("setting", "variable", "default", "meaning"), rows)]
    parts += [
        "## Providers and models",
        "Only in the file. A provider's `api_key` is the key itself or `env:NAME`.",
    ]
    for title, part in (
        ("`providers:` each", ProviderConfig),
        ("`models:` each", ModelConfig),
        ("`targets:` and `fallback:` each", TargetConfig),
        ("`price:` in USD per million tokens", PriceConfig),
    ):
        fields = [(f"`{knob.name}`", _default(knob)) for knob in msgspec.structs.fields(part)]
        parts += [f"### {title}", (part.__doc__ or "").strip(), table(("field", "default"), fields)]
    return "\n\n".join(parts)


def _described(knob: msgspec.structs.FieldInfo) -> tuple[str, str]:
    metas = [arg for arg in get_args(knob.type) if isinstance(arg, msgspec.Meta)]
    text = next((meta.description for meta in metas if meta.description), "")
    return _default(knob), text


def _default(knob: msgspec.structs.FieldInfo) -> str:
    if knob.default is msgspec.NODEFAULT:
        return "" if knob.default_factory is not msgspec.NODEFAULT else "required"
    value: Any = knob.default
    return "none" if value is None else "empty" if value == () else f"`{value}`"


def errors() -> str:
    """Every kind of error."""
    rows = [
        (
            str(kind.status)
            if kind.status == kind.messages_status
            else f"{kind.status}, on Messages {kind.messages_status}",
            f"`{kind.type}`",
            f"`{kind.code}`",
            ERROR_HELP[kind.name],
        )
        for kind in KINDS.values()
    ]
    envelope = (
        "```json\n"
        '{"type": "error", "request_id": "req_…",\n'
        ' "error": {"type": "…", "message": "…", "param": "…", "code": "…"}}\n'
        "```"
    )
    return "\n\n".join(
        [
            "# Errors",
            WRITTEN_BY,
            "One envelope on every path. `type` is Anthropic's word and `code` OpenAI's, so both vendors' "
            "SDKs raise their own exception classes. The message shows the value and what would be right; "
            "`request_id` is also in the headers `request-id`, `x-request-id` and `x-inference-id`. "
            "`x-should-retry` tells an SDK whether again helps; `retry-after` says when.",
            envelope,
            table(("status", "type", "code (usual)", "cause, and what to do"), rows),
            "Inside a stream an error is an event of the client's own protocol: `event: error` on Messages, "
            "a `data:` frame with `error` on Chat, `response.failed` or `event: error` on Responses. Nothing "
            "that looks like a normal end follows it.",
        ]
    )


ERROR_HELP = {
    "invalid": "The request is wrong; `param` names the field. Mend it; the same request fails again.",
    "unsupported": "The request asks for something this route cannot do. Change it or choose another model.",
    "context_length": "The conversation is longer than the model's context. Shorten it.",
    "content_policy": "The provider refused the content.",
    "unauthenticated": "No key, or one that is unknown, revoked or expired. Check the key and its header.",
    "no_credit": "The account, key or budget has no money left; the message says which. Top up or wait.",
    "forbidden": "The key may not do this. Ask whoever made it.",
    "unknown_model": "No such model here; the message names the nearest.",
    "not_found": "Nothing is at that path, or no such object belongs to this account.",
    "method": "The path answers other methods; `allow` lists them.",
    "timeout": "The request did not arrive in time. Send it again.",
    "conflict": "Something else does the same just now, or the name is taken. Try again or choose another.",
    "too_large": "The body is over the limit (`body_bytes_max`).",
    "uri_too_long": "The path and query are over 8 KiB.",
    "media_type": "The body is not JSON, or compressed in a way that is not read.",
    "expectation": "`Expect` may only be `100-continue`.",
    "idempotency_mismatch": "The Idempotency-Key was used for another request. Use a new one.",
    "upgrade": "WebSocket is not spoken here. Use HTTP.",
    "rate_limited": "A rate limit of the key or account; the message says which. Wait as `retry-after` says.",
    "header_too_large": "The request's headers are over 32 KiB, or more than 100.",
    "internal": "The gateway failed; the log has it under the request id. Try again, and report it.",
    "upstream_auth": "The provider refused the gateway's own credential. The operator has to look.",
    "upstream": "The provider failed, spoke nonsense or stopped half way. Try again.",
    "unavailable": "The gateway cannot serve this now (database, local model). Try again.",
    "overloaded": "The gateway carries all the calls it can, or is shutting down. Try again.",
    "upstream_overloaded": "The provider is overloaded. Try again after `retry-after`.",
    "upstream_rate_limited": "The provider's own limit on this gateway's account is reached. "
    "Wait as long as `retry-after` says.",
    "upstream_timeout": "The provider took too long or fell silent. Try again.",
}


def metrics() -> str:
    """Every metric of /metrics."""
    rows = [
        (
            f"`{family.name + ('_total' if family.type == 'counter' else '')}`",
            family.type,
            family.documentation,
        )
        for family in Metrics().registry.collect()
    ]
    return "\n\n".join(
        [
            "# Metrics",
            WRITTEN_BY,
            "`GET /metrics`, in Prometheus' text format. Whichever worker answers, it adds up those of its "
            "gateway; the others' numbers are at most a second old. A worker that is started again goes on "
            "from the numbers of the one it replaces, so counters fall to 0 only when the whole gateway is "
            "restarted. Replicas count apart: scrape each.",
            "Labels come from the configuration, never from callers: the models of a provider whose models "
            "are not listed are `provider/*` together. After 2,000 series of calls, tokens and cost per "
            "worker, new ones have the model `other`.",
            table(("metric", "kind", "meaning"), rows),
        ]
    )


def translation() -> str:
    """What becomes of each feature when it is written in each protocol."""
    columns = [_by_field(losses) for losses in (CHAT_LOSSES, RESPONSES_LOSSES, MESSAGES_LOSSES)]
    rows = [(f"`{feature}`", *(_fate(column.get(feature)) for column in columns)) for feature in FEATURES]
    return "\n\n".join(
        [
            "# What a translation keeps",
            WRITTEN_BY,
            "When client and provider speak the same protocol, bytes pass through and nothing here applies. "
            "Otherwise each feature of a request is written in the provider's protocol as this table says. "
            "A change is told in `x-modelway-warnings` (`code;param=path`) before the first byte; "
            "`x-modelway-strict: 1` turns every change into a 400.",
            table(("feature", "to Chat Completions", "to Responses", "to Messages"), rows),
        ]
    )


def _by_field(losses: Iterable[Loss]) -> dict[str, Loss]:
    return {loss.field: loss for loss in losses}


def _fate(loss: Loss | None) -> str:
    if loss is None:
        return "cannot occur"
    code = f" `{loss.code}`" if loss.code and loss.fate in {Fate.CHANGED, Fate.REFUSED} else ""
    return f"{FATES[loss.fate]}{code}: {loss.why}" if loss.why else FATES[loss.fate] + code


def management() -> str:
    """Every management path, and who may use it."""
    parts = [
        "# Management",
        WRITTEN_BY,
        "Keys, budgets, members and money over HTTP. These paths take a **management key**, which calls no "
        "model and may do what the role of the member it belongs to allows: "
        "`modelway keys create --name admin --management` prints one for the owner of the installation. "
        "An API key reads about itself and its account and changes nothing. What is not in these tables "
        "nobody may.",
        "Lists come in pages: `data`, `has_more`, and `next_cursor`, which is given back as `cursor`. "
        "`format=csv` or `Accept: text/csv` brings them as CSV, the next cursor in `x-next-cursor`. Amounts "
        "are decimal strings in USD, times RFC 3339; a body may give an amount as a number and a time as "
        "seconds since 1970 too. A field that is not known is refused. `account=` (in a query or body) means "
        "another account and is for the installation's owner; to others, ids of another account are 404.",
    ]
    for group in dict.fromkeys(row.group for row in MANAGED):
        rows = [
            (f"`{row.method} {row.path}`", f"{row.summary}. {row.says}".strip(), f"`{row.action}`")
            for row in MANAGED
            if row.group == group
        ]
        parts += [f"## {group}", table(("path", "does", "takes"), rows)]
    yes = {True: "yes", False: ""}
    rights = [
        (
            f"`{action}`",
            rule.says,
            yes[rule.api_keys],
            *(yes[role in rule.roles] for role in ROLES),
            yes[rule.installation],
        )
        for action, rule in RULES.items()
    ]
    heads = ("right", "to", "any API key", *ROLES, "only in the installation's own account")
    parts += ["## Who may do what", table(heads, rights)]
    return "\n\n".join(parts)


PAGES = {
    "settings.md": settings,
    "errors.md": errors,
    "metrics.md": metrics,
    "translation.md": translation,
    "management.md": management,
}
