"""From values to HTML: the templates beside their pages, the headers every page carries, the static files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from modelway import __version__

STATIC = "/static/"
# Nothing is loaded from elsewhere and no script stands in the page, so injected text can do nothing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# The address carries the file's hash, so a changed file has another address.
STATIC_CACHE = "public, max-age=31536000, immutable"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
HASH_CHARACTERS = 10


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page as HTML. `template` is a file of `pages/`."""
    html = (
        _environment()
        .get_template(f"pages/{template}")
        .render(path=request.url.path, version=__version__, **values)
    )
    return HTMLResponse(html, status, headers={**HEADERS, "cache-control": "no-cache"})


async def static(request: Request) -> Response:
    """A file of `static/`; 404 for any other name."""
    found = _static_files().get(request.path_params["name"])
    if found is None:
        return Response("There is no such file", 404, headers=HEADERS)
    data, kind, digest = found
    # Scripts import each other without a hash; those ask again each time and mostly hear "not modified".
    fresh = request.query_params.get("v") == digest
    headers = {**HEADERS, "cache-control": STATIC_CACHE if fresh else "no-cache", "etag": f'"{digest}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


def static_url(name: str) -> str:
    return f"{STATIC}{name}?v={_static_files()[name][2]}"


def usd(amount: Decimal | str | None) -> str:
    """`$0.15`, `$5`, `free`, or a dash where nobody knows."""
    if amount is None:
        return "–"
    number = Decimal(amount)
    if not number:
        return "Free"
    places = f"{number.normalize():f}"
    whole, _, fraction = places.partition(".")
    return f"${whole}.{fraction.ljust(2, '0')}" if fraction else f"${whole}"


def tokens(count: int | None) -> str:
    """`200K`, `1.05M`, `8,192`, or a dash: short from a hundred thousand on, exact below."""
    if count is None:
        return "–"
    if count >= 1_000_000:
        return f"{count / 1_000_000:.2f}".rstrip("0").rstrip(".") + "M"
    if count >= 100_000 or (count >= 1000 and count % 1000 == 0):
        return f"{count / 1000:.0f}K"
    return f"{count:,}"


@cache
def _static_files() -> Mapping[str, tuple[bytes, str, str]]:
    """Every static file by its path: bytes, content type and the start of its hash. About 100 KB in all."""
    found: dict[str, tuple[bytes, str, str]] = {}
    folders = [("", resources.files(__package__).joinpath("static"))]
    while folders:
        prefix, folder = folders.pop()
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append((f"{prefix}{entry.name}/", entry))
            elif kind := KINDS.get(entry.name[entry.name.rfind(".") :]):
                data = entry.read_bytes()
                digest = hashlib.sha256(data).hexdigest()[:HASH_CHARACTERS]
                found[prefix + entry.name] = (data, kind, digest)
    return found


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": usd, "tokens": tokens}
    environment.globals["static"] = static_url
    return environment
