"""The one place where a test of the store waits for something that it cannot be told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 60  # far beyond what anything takes: only a failure waits this long


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once `condition` holds; what it looks at is in a database, which does not call back."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110  # see the docstring
            await asyncio.sleep(0.01)
