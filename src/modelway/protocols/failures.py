"""What providers say when they fail, in any of their envelopes, as one `CallError`. Never a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from modelway.conversation.errors import CallError

# Long enough for a validation message, short enough for a header-sized log line.
WORD_CHARS_MAX = 100
MESSAGE_CHARS_MAX = 500
# Both SDK families ignore or obey badly what is longer: one stops retrying, the other sleeps.
RETRY_AFTER_S_MAX = 60.0
# For a provider that is busy and does not say for how long: the second step of the SDKs' own backoff.
RETRY_AFTER_S_DEFAULT = 1.0

_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|org)[-_][A-Za-z0-9*_-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{10,}"
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/=*-]{6,}"
    r"|https?://[^\s\"'<>]+"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?\b"
)
# How vendors say that the prompt does not fit; clients compact their history when they see our code.
_CONTEXT_LENGTH = re.compile(
    r"context[_ ]length|context window|maximum context|prompt is too long|too many (?:input )?tokens"
    r"|exceeds? the (?:model'?s? )?(?:available )?context|input (?:length|is too long|token count)"
    r"|reduce the length of the (?:messages|prompt|input)|max(?:imum)? model len",
    re.IGNORECASE,
)
_CONTENT_POLICY = ("content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation")

# The vendor's own word decides before the HTTP status does: inside a stream there is no status.
_BY_WORD: dict[str, str] = {
    "context_length_exceeded": "context_length",
    "model_context_window_exceeded": "context_length",
    "content_policy_violation": "content_policy",
    "content_filter": "content_policy",
    "overloaded_error": "upstream_overloaded",
    "overloaded": "upstream_overloaded",
    "server_is_overloaded": "upstream_overloaded",
    "engine_overloaded": "upstream_overloaded",
    "unavailable": "upstream_overloaded",
    "rate_limit_error": "upstream_rate_limited",
    "rate_limit_exceeded": "upstream_rate_limited",
    "rate_limit_reached": "upstream_rate_limited",
    "too_many_requests": "upstream_rate_limited",
    "slow_down": "upstream_overloaded",
    "resource_exhausted": "upstream_rate_limited",
    "tokens": "upstream_rate_limited",
    "requests": "upstream_rate_limited",
    "insufficient_quota": "upstream_auth",
    "billing_error": "upstream_auth",
    "authentication_error": "upstream_auth",
    "permission_error": "upstream_auth",
    "invalid_api_key": "upstream_auth",
    "unauthenticated": "upstream_auth",
    "permission_denied": "upstream_auth",
    "timeout_error": "upstream_timeout",
    "timeout": "upstream_timeout",
    "deadline_exceeded": "upstream_timeout",
    "invalid_request_error": "invalid",
    "invalid_argument": "invalid",
    "badrequesterror": "invalid",
    "request_too_large": "too_large",
    "model_not_found": "upstream",
    "not_found_error": "upstream",
}
_BY_STATUS: dict[int, str] = {
    400: "invalid",
    401: "upstream_auth",
    402: "upstream_auth",
    403: "upstream_auth",
    408: "upstream_timeout",
    413: "too_large",
    422: "invalid",
    429: "upstream_rate_limited",
    503: "upstream_overloaded",
    504: "upstream_timeout",
    524: "upstream_timeout",
    529: "upstream_overloaded",
}
# The code of these belongs to our own credential or capacity, not to what the client sent.
_OWN_CODE = frozenset(
    {"upstream_auth", "upstream_overloaded", "upstream_rate_limited", "upstream_timeout", "context_length"}
)
_BUSY = frozenset({"upstream_overloaded", "upstream_rate_limited"})
# What a provider says about our account with it is not for our clients.
_OUR_CREDENTIAL = "The provider refused this gateway's own credential; whoever runs the gateway must look"


def read_upstream_error(status: int, body: bytes, headers: Mapping[str, str]) -> CallError:
    """The error an upstream answered with `status`; whatever the body is, it reads as one sentence.

    `headers` have lower-case names; `retry-after` and `retry-after-ms` are obeyed up to a minute.
    """
    error = error_from_object(_as_object(body), status)
    said_s = _retry_after_s(headers)
    error.retry_after_s = error.retry_after_s if said_s is None else said_s
    if error.kind.name == "upstream" and status < 500:
        error.should_retry = False  # it would say the same again
    return error


def error_from_object(obj: Mapping[str, Any], status: int | None = None) -> CallError:
    """The error in a decoded body or stream frame; `status` None inside a stream.

    Understands `{"error": {...}}` of OpenAI and Anthropic, `{"error": "text"}`, FastAPI's `detail`,
    Google's `{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}`, `{"message": ...}`, and
    Responses' flat `{"type": "error", "code": ...}`.
    """
    inner = obj.get("error", obj)
    fields: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {"message": inner}
    message = _message(fields, obj) or _default_message(status)
    code = _word(fields.get("code"))
    words = [code, _word(fields.get("status")), _word(fields.get("type"))]
    if status is None:
        status = _status_inside(fields)
    kind = _kind(words, status, message)
    if kind == "upstream_auth":
        return CallError(kind, _OUR_CREDENTIAL)
    # Anthropic's stable machine code: its SDKs act on it (they begin a lost thread anew).
    details = fields.get("details")
    stable = _word(details.get("error_code")) if isinstance(details, Mapping) else None
    return CallError(
        kind,
        redacted(message),
        details={"error_code": stable} if stable else None,
        param=_word(fields.get("param")),
        code=code if code and kind not in _OWN_CODE else None,
        retry_after_s=RETRY_AFTER_S_DEFAULT if kind in _BUSY else None,
    )


def redacted(text: str) -> str:
    """`text` without keys, addresses and host names, on one line, cut to 500 characters."""
    clean = _SECRETS.sub("[redacted]", " ".join(text.split()))
    return clean if len(clean) <= MESSAGE_CHARS_MAX else clean[: MESSAGE_CHARS_MAX - 1] + "…"


def _as_object(body: bytes) -> Mapping[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {} if body.lstrip()[:1] in (b"<", b"") else {"message": body[:2000].decode("utf-8", "replace")}
    if isinstance(decoded, list) and decoded:  # Google wraps its error in a list
        decoded = decoded[0]
    return decoded if isinstance(decoded, dict) else {"message": str(decoded)}


def _message(fields: Mapping[str, Any], obj: Mapping[str, Any]) -> str:
    for holder in (fields, obj):
        for name in ("message", "detail", "msg", "error_message"):
            text = _text(holder.get(name))
            if text:
                return text
    return ""


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case [{"msg": str(said), **rest}, *_]:  # FastAPI: one entry per field
            where = rest.get("loc")
            return f"{'.'.join(str(step) for step in where)}: {said}" if isinstance(where, list) else said
        case {"message": str(said)}:
            return said
    return ""


def _default_message(status: int | None) -> str:
    return f"The provider answered {status}" if status else "The provider reported an error"


def _word(value: Any) -> str | None:
    """One line of what a machine reads: it stands in logs, and in databases that do not take every letter."""
    if not isinstance(value, str):
        return None
    return "".join(filter(str.isprintable, value[:WORD_CHARS_MAX])) or None


def _status_inside(fields: Mapping[str, Any]) -> int | None:
    """OpenRouter, vLLM and Google put the HTTP status into `code`, as a number."""
    for name in ("code", "status", "status_code"):
        value = fields.get(name)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _kind(words: list[str | None], status: int | None, message: str) -> str:
    by_word = next((_BY_WORD[word.lower()] for word in words if word and word.lower() in _BY_WORD), None)
    by_status = _BY_STATUS.get(status) if status else None
    kind = by_word or by_status or "upstream"
    # A provider's 404 or 500 stays its fault whatever it calls itself.
    if by_word == "invalid" and status is not None and status not in (400, 413, 422):
        kind = by_status or "upstream"
    if kind in ("invalid", "too_large", "upstream") and _CONTEXT_LENGTH.search(message):
        return "context_length"
    return kind


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except KeyError:
            continue
        except ValueError:
            seconds = _seconds_until(headers[name], headers.get("date", ""))
        if 0 <= seconds < float("inf"):
            return min(seconds, RETRY_AFTER_S_MAX)
    return None


def _seconds_until(when: str, now: str) -> float:
    """From one HTTP date to another, the provider's own clock; negative for what is no date."""
    try:
        return (parsedate_to_datetime(when) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError):  # TypeError: one of them names no zone
        return -1.0
