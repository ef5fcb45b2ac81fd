"""Before an answer's first byte: what counts as one, and how a client is kept while it waits for it.

Headers are promised late, so that a failure can still go elsewhere and have a status of its own; but
proxies cut a connection that stays silent for a minute, and reasoning models think for longer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

from modelway.calls.call import taken, unheeded
from modelway.calls.settle import Meter
from modelway.conversation.errors import CallError
from modelway.conversation.events import (
    Event,
    Finished,
    Heartbeat,
    PartEnded,
    PartStarted,
    Started,
    TextAdded,
    UsageReported,
)
from modelway.conversation.parts import Reasoning, Refusal, Text

EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

# How an answer that says something looks on the wire, before anything is parsed: text, thinking or a tool
# call that is not empty, or an end other than the usual. What has none of them is an empty answer.
_TELLING = {
    "chat": re.compile(
        rb'"(?:content|reasoning_content|reasoning|refusal|text|arguments)"\s*:\s*"[^"]'
        rb'|"(?:content|tool_calls|function_call|reasoning_details|annotations)"\s*:\s*[\[{]\s*[^\]}\s]'
        rb'|"finish_reason"\s*:\s*"(?!stop)'
    ),
    "messages": re.compile(
        rb'"content_block_delta"|"text"\s*:\s*"[^"]|"(?:\w*tool_use|\w+_tool_result|redacted_thinking)"'
        rb'|"stop_reason"\s*:\s*"(?!end_turn)'
    ),
    "responses": re.compile(
        rb'"response\.(?:[a-z_]+\.)+(?:added|delta|done)"|"output"\s*:\s*\[\s*\{'
        rb'|"(?:response\.)?(?:incomplete|failed|cancelled)"'
    ),
}
# More than this without a word of content is let through: it is something we do not know.
SILENT_BYTES_MAX = 64 * 1024
_USUAL_ENDS = frozenset({"end", "unknown"})


def tells(protocol: str, data: bytes) -> bool:
    """Whether bytes of an answer in this protocol hold content, or an end that is news in itself."""
    return _TELLING[protocol].search(data) is not None or len(data) > SILENT_BYTES_MAX


def says(event: Event) -> bool:
    """Whether the event is content, and not merely its frame."""
    match event:
        case Started() | Heartbeat() | UsageReported() | PartEnded() | Finished():
            return False
        case PartStarted(_, Text(text="") | Refusal(text="") | Reasoning(redacted=False)):
            return False
        case TextAdded(text=""):
            return False
    return True


def is_empty(events: Iterable[Event]) -> bool:
    """Whether a whole answer ended as usual without a word."""
    usual = False
    for event in events:
        if says(event):
            return False
        usual = isinstance(event, Finished) and event.stop.reason in _USUAL_ENDS
    return usual


class Beginning:
    """Keeps the client of a stream while providers are tried: after `heartbeat_s` of nothing it gets the
    headers of a stream, and a heartbeat then and at every further one. One timer, no task until it rings.
    """

    def __init__(self, meter: Meter) -> None:
        self.begun = False
        self._meter, self._timeouts = meter, meter.services.timeouts
        self._loop = asyncio.get_running_loop()
        self._target, self._since_s = meter.target, self._loop.time()
        self._timer = self._loop.call_later(self._timeouts.heartbeat_s, self._ring)
        self._telling: asyncio.Task[None] | None = None

    async def over(self) -> None:
        """An answer has begun, or none will: from here on somebody else speaks to the client."""
        self._timer.cancel()
        if self._telling is not None:
            await asyncio.wait({self._telling})  # a client that left is seen elsewhere

    def _ring(self) -> None:
        now_s, limit_s = self._loop.time(), self._timeouts.first_content_s
        if self._target is not self._meter.target:
            self._target, self._since_s = self._meter.target, now_s
        # A provider that is silent is noticed by its connection, and the next one is tried; this is for one
        # that has only pings to say, and so comes a heartbeat later.
        if now_s - self._since_s > limit_s + self._timeouts.heartbeat_s:
            self._meter.end(CallError("upstream_timeout", f"The provider said nothing for {limit_s:g} s"))
            return
        if self._telling is None or self._telling.done():
            self._telling = self._loop.create_task(self._tell())
            self._telling.add_done_callback(unheeded)
        self._timer = self._loop.call_later(self._timeouts.heartbeat_s, self._ring)

    async def _tell(self) -> None:
        client, call = self._meter.client, self._meter.call
        if not self.begun:
            await self._meter.ready()
            self.begun, self._meter.status = True, 200
            await client.begin(200, EVENT_STREAM)
        await taken(client.write(call.protocol.heartbeat))
