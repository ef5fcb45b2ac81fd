"""What every wire protocol offers. `calls` and `providers` know this page and nothing below it.

All of it is synchronous and pure: bytes and values in, bytes and values out; ids and times come with
the `Translation`. When client and upstream speak the same protocol, only `parse`, `Request.passed`
and `watch` run: the bytes pass through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from modelway.conversation.errors import CallError
from modelway.conversation.events import Event
from modelway.conversation.reply import Reply, Usage
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation

ProtocolName = Literal["chat", "responses", "messages"]
Headers = Mapping[str, str]  # lower-case names


class Request(Protocol):
    """A client's request, its top level typed and checked once; `body` is what came, untouched.

    `passable` is False when the body uses a dialect its own upstream protocol would refuse (the
    shorthand `prompt`, Anthropic blocks on the Chat path): then it must be translated even towards
    an upstream of the same protocol. `choices` is how many answers are asked for (Chat's `n`).
    `include_usage` is False when the client of a Chat stream did not ask for the usage chunk; the other
    protocols always carry it.
    """

    model: str
    stream: bool
    max_output_tokens: int | None
    body: bytes
    passable: bool
    choices: int
    include_usage: bool

    def conversation(self, translation: Translation) -> Conversation:
        """The neutral form; raises `CallError` (400) for content nobody can carry."""
        ...

    def passed(self, model: str, translation: Translation) -> bytes:
        """`body` for an upstream of the same protocol: only the model's name is replaced (and, for a
        Chat stream, `stream_options.include_usage` is put in); every other byte stays as it is.
        """
        ...

    def prompt_tokens_estimate(self) -> int:
        """About how many tokens the model will read (± 20 %), from lengths alone; never 0."""
        ...


class StreamReader(Protocol):
    """Upstream bytes to events. Any chunking of the same bytes gives the same events."""

    def read(self, chunk: bytes) -> list[Event]: ...

    def end(self) -> list[Event]:
        """The upstream closed: `Failed` (502, `upstream_truncated`) unless the answer was whole."""
        ...


class StreamWriter(Protocol):
    """Events to client bytes, whole frames only."""

    def write(self, event: Event) -> bytes: ...


class Watch(Protocol):
    """Looks on while bytes pass through: tees the usage, notices errors and truncation. No JSON is
    parsed for a chunk that holds none of them.
    """

    usage: Usage | None
    error: CallError | None

    @property
    def complete(self) -> bool:
        """The answer is whole: it may end here without being an error."""
        ...

    @property
    def ended(self) -> bool:
        """Its last frame has passed: nothing more is worth waiting for."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """What goes to the client for `chunk`: nearly always the same object."""
        ...

    def end(self, failure: CallError | None = None, request_id: str = "") -> bytes:
        """The upstream closed: nothing if the answer was whole, else an error frame of this protocol
        that says `failure`, or that it was cut short. `error` is set then.
        """
        ...

    def output_tokens_estimate(self) -> int:
        """Tokens that passed so far, counted by frames: for a client that hangs up before the usage."""
        ...


class WireProtocol(Protocol):
    """One wire format, both sides of it."""

    name: ProtocolName
    upstream_path: str
    heartbeat: bytes

    def parse(self, body: bytes, headers: Headers) -> Request:
        """Check and type a client's request; raises `CallError` with `param`."""
        ...

    def write_request(self, conversation: Conversation, translation: Translation) -> bytes:
        """The body for an upstream of this protocol; losses go to the translation."""
        ...

    def read_reply(self, body: bytes, translation: Translation) -> Reply:
        """An upstream's whole answer; raises `CallError` (502) for nonsense or an error inside a 200."""
        ...

    def write_reply(self, reply: Reply, translation: Translation) -> bytes:
        """The client's whole answer."""
        ...

    def reader(self, translation: Translation) -> StreamReader: ...

    def writer(self, translation: Translation) -> StreamWriter: ...

    def watch(self, stream: bool, model_asked: str, model_sent: str, include_usage: bool) -> Watch:
        """For passing through, streamed or whole. `include_usage` False with Chat: we asked for the
        usage chunk, the client did not, so it is taken out again.
        """
        ...

    def error_frame(self, error: CallError, request_id: str) -> bytes:
        """An error inside a stream, as this protocol's SDKs raise it."""
        ...
