"""The page everything hangs on: one call, from the key to the last byte.

Whoever opens closes; `admitted` settles exactly once, however the call ends.
"""

from __future__ import annotations

from modelway.calls.admit import admitted, authenticate
from modelway.calls.attempt import first_answer
from modelway.calls.call import Call, Client, Services
from modelway.calls.check import received
from modelway.calls.relay import relay
from modelway.calls.route import route


async def serve(call: Call, services: Services, client: Client) -> None:
    """Answer `call` through `client`. Raises CallError until the first byte went out; after it, a
    failure is told inside the stream.
    """
    key = await authenticate(call, services)
    request = await received(call, services)
    async with admitted(key, request, call, client, services) as meter:
        with await first_answer(route(meter.model, services), request, meter) as answer:
            await relay(answer, meter, client)
