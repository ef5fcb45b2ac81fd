"""Every way a call can fail, as one family. The kind says whose fault it is and whether again helps.

Raised where the cause is known; turned into HTTP in one place (`api/inference.py`) and into a
stream's error frame by each protocol's writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "timeout_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "overloaded_error",
    "api_error",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the error table.

    `status` is the HTTP status on OpenAI paths, `messages_status` on Anthropic's path.
    `should_retry` becomes `x-should-retry` (both vendors' SDKs obey it); None leaves it to the SDK.
    """

    name: str
    type: ErrorType
    code: str
    status: int
    messages_status: int
    should_retry: bool | None = None
    upstream_at_fault: bool = False


def _kind(
    name: str,
    type: ErrorType,
    code: str,
    status: int,
    messages_status: int | None = None,
    *,
    should_retry: bool | None = None,
    upstream_at_fault: bool = False,
) -> tuple[str, Kind]:
    return name, Kind(name, type, code, status, messages_status or status, should_retry, upstream_at_fault)


# The vocabulary of both vendors in one table: `type` is Anthropic's word, `code` OpenAI's.
KINDS: dict[str, Kind] = dict(
    [
        _kind("invalid", "invalid_request_error", "invalid_value", 400),
        _kind("unsupported", "invalid_request_error", "unsupported_parameter", 400),
        _kind("context_length", "invalid_request_error", "context_length_exceeded", 400),
        _kind("content_policy", "invalid_request_error", "content_policy_violation", 400),
        _kind("unauthenticated", "authentication_error", "invalid_api_key", 401),
        _kind("no_credit", "billing_error", "insufficient_quota", 429, 402, should_retry=False),
        _kind("forbidden", "permission_error", "permission_denied", 403),
        _kind("unknown_model", "not_found_error", "model_not_found", 404),
        _kind("not_found", "not_found_error", "not_found", 404),
        _kind("method", "invalid_request_error", "method_not_allowed", 405),
        _kind("timeout", "timeout_error", "request_timeout", 408),
        _kind("conflict", "conflict_error", "conflict", 409),
        _kind("too_large", "request_too_large", "request_too_large", 413),
        _kind("uri_too_long", "invalid_request_error", "uri_too_long", 414),
        _kind("media_type", "invalid_request_error", "unsupported_media_type", 415),
        _kind("expectation", "invalid_request_error", "expectation_failed", 417),
        _kind("idempotency_mismatch", "invalid_request_error", "idempotency_key_reused", 422),
        _kind("upgrade", "invalid_request_error", "upgrade_required", 426),
        _kind("rate_limited", "rate_limit_error", "rate_limit_exceeded", 429),
        _kind("header_too_large", "request_too_large", "header_too_large", 431),
        _kind("internal", "api_error", "internal_error", 500),
        _kind("upstream_auth", "api_error", "upstream_auth", 502, should_retry=False, upstream_at_fault=True),
        _kind("upstream", "api_error", "upstream_error", 502, should_retry=True, upstream_at_fault=True),
        _kind("unavailable", "api_error", "service_unavailable", 503),
        _kind("overloaded", "overloaded_error", "server_is_overloaded", 503, 529, should_retry=True),
        _kind(
            "upstream_overloaded",
            "overloaded_error",
            "server_is_overloaded",
            503,
            529,
            should_retry=True,
            upstream_at_fault=True,
        ),
        _kind(
            "upstream_rate_limited",
            "rate_limit_error",
            "rate_limit_exceeded",
            429,
            should_retry=True,
            upstream_at_fault=True,
        ),
        _kind(
            "upstream_timeout",
            "timeout_error",
            "upstream_timeout",
            504,
            should_retry=True,
            upstream_at_fault=True,
        ),
    ]
)


class CallError(Exception):
    """A call that cannot go on. `message` shows the value and what would be right, never a secret.

    `param` is the field at fault (`messages.0.content.1.source`), `code` overrides the kind's code,
    `retry_after_s` becomes `retry-after`, `status` overrides the kind's (an upstream's own 4xx).
    `details` goes into `error.details` (Anthropic's stable machine codes live there).
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = KINDS[kind]
        self.message = message
        self.param = param
        self.code = code or self.kind.code
        self.retry_after_s = retry_after_s
        self.should_retry = self.kind.should_retry if should_retry is None else should_retry
        self.details = details
        self.recorded = False  # whether the call that it ended has its line in the log already
        self.headers: list[tuple[str, str]] = []  # more response headers (`allow`, rate limits)

    def __repr__(self) -> str:
        return f"CallError({self.kind.name!r}, {self.message!r}, param={self.param!r}, code={self.code!r})"

    @classmethod
    def invalid(cls, message: str, *, param: str | None = None, code: str | None = None) -> CallError:
        """400: the caller must change the request."""
        return cls("invalid", message, param=param, code=code)

    @classmethod
    def unsupported(
        cls, message: str, *, param: str | None = None, code: str = "unsupported_parameter"
    ) -> CallError:
        """400: valid somewhere, but not on the route this call takes."""
        return cls("unsupported", message, param=param, code=code)

    @classmethod
    def upstream(cls, message: str, *, code: str | None = None) -> CallError:
        """502: the provider failed, spoke nonsense or stopped half way."""
        return cls("upstream", message, code=code)

    @property
    def type(self) -> ErrorType:
        return self.kind.type

    def status_on(self, protocol: str) -> int:
        """The HTTP status towards a client of `protocol`."""
        return self.kind.messages_status if protocol == "messages" else self.kind.status

    def body(self, request_id: str) -> dict[str, object]:
        """The one envelope, which both SDK families parse into `.type`, `.code`, `.param`, `.request_id`."""
        error: dict[str, object] = {
            "type": self.type,
            "message": self.message,
            "param": self.param,
            "code": self.code,
        }
        if self.details:
            error["details"] = self.details
        return {"type": "error", "error": error, "request_id": request_id}
