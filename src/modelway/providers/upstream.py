"""The one client that speaks to providers. Nothing else here opens a connection to one.

Kept to one file behind two small classes so that the library under it can be exchanged by measurement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType

import aiohttp
from yarl import URL

from modelway.conversation.errors import CallError

# Bodies read whole. Anthropic's requests end at 32 MB; twice that leaves room for images in answers.
REPLY_BYTES_MAX = 64 * 1024 * 1024
# An error's body is read for its message only.
ERROR_BYTES_MAX = 64 * 1024
# Connections kept to one provider host; nginx's default for one worker is 512, we follow the load.
CONNECTIONS_MAX = 4096
# A provider that hangs up this soon, without a byte, had closed the kept connection before our request
# came: nothing was generated, so the one repeat on a fresh connection costs nobody anything.
STALE_CONNECTION_S = 0.1
# After an answer's last event the connection may end at once and be used again; else it is closed.
LINGER_S = 0.05
# One response header line; a provider that sends more is refused.
HEADER_BYTES_MAX = 16 * 1024


class Upstream:
    """An open connection to a provider that has begun to answer. Whoever opens it closes it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.failure: CallError | None = None

    async def read(self) -> bytes:
        """The next bytes as they arrive, b"" at the end. A connection that breaks ends the stream;
        that the answer was not whole is for the protocol's reader to see. `failure` says why, if known.
        """
        try:
            return await self._response.content.readany()
        except TimeoutError:
            self.failure = CallError(
                "upstream_timeout", "The provider fell silent in the middle of its answer"
            )
        except (aiohttp.ClientError, ConnectionError, ValueError):
            pass
        return b""

    async def read_all(self, limit: int = REPLY_BYTES_MAX) -> bytes:
        """The whole body; raises 502 if it is cut short or larger than `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await self._response.content.readany():
                size += len(piece)
                if size > limit:
                    raise CallError.upstream(f"The provider's answer is larger than {limit} bytes")
                pieces.append(piece)
        except TimeoutError:
            raise CallError("upstream_timeout", "The provider did not finish its answer in time") from None
        except (aiohttp.ClientError, ConnectionError, ValueError):
            message = "The provider's answer was cut short"
            raise CallError.upstream(message, code="upstream_truncated") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def finish(self) -> None:
        """The answer is whole: wait a moment for the connection's end, so that it can be used again."""
        try:
            async with asyncio.timeout(LINGER_S):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError):
            self._response.close()

    def close(self) -> None:
        """Hang up now, unless the answer was read to its end: then the connection is kept for reuse."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    def abort(self, failure: CallError) -> None:
        """Hang up from outside a read that waits: it ends, and `failure` says why."""
        self.failure = failure
        self._response.close()


def _hung_up() -> CallError:
    message = "The provider closed the connection without an answer"
    return CallError.upstream(message, code="upstream_unreachable")


class UpstreamClient:
    """Connections to all providers, kept alive and shared by all calls of this process."""

    def __init__(self, *, connect_timeout_s: float, silence_timeout_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=silence_timeout_s
        )
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}

    async def __aenter__(self) -> UpstreamClient:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=30),
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept", "user-agent"),
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def open(self, url: str, body: bytes, headers: Mapping[str, str]) -> Upstream:
        """POST `body` and wait for the response's head. Raises 502 or 504; redirects are not followed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await self._post(url, body, headers)
        except aiohttp.ServerDisconnectedError:
            if loop.time() - began > STALE_CONNECTION_S:
                raise _hung_up() from None
        try:
            return await self._post(url, body, headers)
        except aiohttp.ServerDisconnectedError:
            raise _hung_up() from None

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Upstream:
        assert self._session is not None, "UpstreamClient is used inside `async with`"
        try:
            response = await self._session.post(
                self._url(url), data=body, headers=headers, allow_redirects=False
            )
        except aiohttp.ServerDisconnectedError:
            raise
        except aiohttp.ConnectionTimeoutError:
            raise CallError("upstream_timeout", "The provider could not be reached in time") from None
        except TimeoutError:
            raise CallError("upstream_timeout", "The provider did not begin to answer in time") from None
        except (aiohttp.ClientError, ConnectionError, ValueError) as error:
            message = f"The provider cannot be reached ({type(error).__name__})"
            raise CallError.upstream(message, code="upstream_unreachable") from None
        return Upstream(response)

    def _url(self, url: str) -> URL:
        known = self._urls.get(url)
        if known is None:
            known = self._urls[url] = URL(url, encoded=True)
        return known
