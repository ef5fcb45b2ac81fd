"""The end of a worker: no new calls, the live ones to their end, and no later than promised."""

from __future__ import annotations

import asyncio

from modelway.calls.call import Services
from modelway.conversation.errors import CallError

# After the drain, live calls are told why they end; this long they may take to pass it on.
FAREWELL_S = 2.0
# What is let go without a word only has to be written down.
LET_GO_S = 1.0


async def drain(services: Services, idle: asyncio.Event, drain_s: float, hurry: asyncio.Event) -> None:
    """Refuse new calls, let live ones finish; those that do not in time are told and ended, and those
    whose client does not even take that are let go without a word. `services.told_idle` sets `idle`.
    """
    services.draining = True
    services.log.write("info", "draining", live=services.live)
    services.told_idle()
    if await _is_set_within(drain_s, idle, hurry):
        return
    farewell = CallError("overloaded", "The gateway is shutting down", code="server_shutting_down")
    for end in [*(call.end for call in services.admitted), *services.streams]:
        end(farewell)
    if await _is_set_within(FAREWELL_S, idle):
        return
    for call in list(services.admitted):
        call.abandon()
    for task in list(services.tasks):  # and those that are no calls yet, or calls no more
        task.cancel()
    if not await _is_set_within(LET_GO_S, idle):
        services.log.write("warning", "drain_cut_short", live=services.live)


async def _is_set_within(seconds: float, event: asyncio.Event, hurry: asyncio.Event | None = None) -> bool:
    waits = [asyncio.create_task(each.wait()) for each in (event, hurry) if each is not None]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return event.is_set()
