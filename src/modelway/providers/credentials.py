"""The headers that go to a provider: our own credential, and of the caller's only what means something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from modelway.providers.registry import Provider

DEFAULT_ANTHROPIC_VERSION = "2023-06-01"
# Callers' headers that mean something to a provider of the same protocol; everything else stays here.
FORWARDED: dict[str, tuple[str, ...]] = {
    "messages": (
        "anthropic-version",
        "anthropic-beta",
        "anthropic-workspace-id",
        "anthropic-user-profile-id",
    ),
    "chat": ("openai-organization", "openai-project", "openai-beta", "x-client-request-id"),
    "responses": (
        "openai-organization",
        "openai-project",
        "openai-beta",
        "x-client-request-id",
        "session-id",
        "session_id",
    ),
}


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _x_api_key(key: str) -> dict[str, str]:
    return {"x-api-key": key}


CREDENTIALS: dict[str, Callable[[str], dict[str, str]]] = {"bearer": _bearer, "x-api-key": _x_api_key}


def headers_for(
    provider: Provider, client_protocol: str, client_headers: Mapping[str, str]
) -> dict[str, str]:
    """What goes to the provider with a call: its credential, its version, the caller's allowed headers."""
    headers = _own_headers(provider.kind.credential, provider.api_key).copy()
    if provider.protocol == client_protocol and not provider.is_local:
        for name in FORWARDED[provider.protocol]:
            if value := client_headers.get(name):
                headers[name] = value
    if provider.protocol == "messages":
        headers.setdefault("anthropic-version", DEFAULT_ANTHROPIC_VERSION)
        if betas := headers.get("anthropic-beta"):
            headers["anthropic-beta"] = _once_each(betas)
    return headers


@lru_cache(maxsize=1024)  # one per provider
def _own_headers(credential: str, api_key: str | None) -> dict[str, str]:
    own = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "modelway"}
    return own | CREDENTIALS[credential](api_key) if api_key else own


def _once_each(betas: str) -> str:
    """A beta list without repeats, order kept."""
    return ",".join(dict.fromkeys(part.strip() for part in betas.split(",") if part.strip()))
