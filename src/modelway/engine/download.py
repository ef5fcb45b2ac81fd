"""One file over HTTP, resumed where an earlier run stopped, with a progress bar for people who wait."""

from __future__ import annotations

import http.client
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int | None], None]
"""Called with bytes on disk so far and bytes in all (None when the server does not say)."""

IDLE_TIMEOUT_S = 30  # a server that sends nothing for this long is gone; what came so far is kept
CHUNK_BYTES = 256 * 1024  # a few hundred progress calls for a hundred megabytes
ATTEMPTS = 4  # a line that drops mid-file is picked up again; four drops in a row are worth telling
BYTES_MAX = 64 * 1024**3  # no model file we could load is larger; stops an endless answer


class DownloadError(Exception):
    """The file could not be had; what arrived stays on disk for the next try."""


def download(url: str, part: Path, progress: Progress | None = None) -> None:
    """Fetches `url` into `part`, continuing what is already there. Raises `DownloadError`."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"the address is {url!r}; it has to start with http:// or https://")
    for attempt in range(1, ATTEMPTS + 1):
        before = _size_of(part)
        try:
            _continue(url, part, progress)
            return
        except urllib.error.HTTPError as error:
            raise DownloadError(f"the server answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            moved = _size_of(part) > before
            if attempt == ATTEMPTS or not moved:
                raise DownloadError(f"the server could not be reached or broke off: {error}") from error


def _continue(url: str, part: Path, progress: Progress | None) -> None:
    have = _size_of(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=IDLE_TIMEOUT_S))
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # 416: nothing after what we have. Either it is whole, or it belongs to another file.
        if _total(error.headers.get("Content-Range")) == have:
            return
        part.unlink()
        _continue(url, part, progress)
        return
    with response:
        resumed = response.status == 206 and _starts_at(response.headers.get("Content-Range")) == have
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total, progress)


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    total: int | None,
    progress: Progress | None,
) -> None:
    if total is not None and total > BYTES_MAX:
        raise DownloadError(f"the file is said to be {total} bytes; at most {BYTES_MAX} are taken")
    while chunk := response.read(CHUNK_BYTES):
        have += len(chunk)
        if have > BYTES_MAX:
            raise DownloadError(f"the file goes past {BYTES_MAX} bytes")
        file.write(chunk)
        if progress is not None:
            progress(have, total)
    if total is not None and have != total:
        raise http.client.IncompleteRead(b"", total - have)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _starts_at(content_range: str | None) -> int | None:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else None


def _total(content_range: str | None) -> int | None:
    found = re.search(r"/(\d+)$", content_range or "")
    return int(found[1]) if found else None


@contextmanager
def shown_progress(title: str) -> Iterator[Progress]:
    """A bar on standard error when a person looks at it, else one line; nothing without bytes."""
    columns = (title, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    with ExitStack() as when_done:
        tasks: list[TaskID] = []

        def show(have: int, total: int | None) -> None:
            if not tasks:
                tasks.append(bar.add_task(title, total=total))
                if sys.stderr.isatty():
                    when_done.enter_context(bar)
                else:
                    print(f"{title} ({total or 'an unknown number of'} bytes)", file=sys.stderr, flush=True)
            bar.update(tasks[0], completed=have, total=total)

        yield show
