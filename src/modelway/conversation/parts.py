"""What a turn is made of. Blocks of Messages, parts of Chat and items of Responses all become these.

Every node carries `ext`: fields one protocol knows and the neutral form does not, keyed by that
protocol's name; its own writer puts them back, the others ignore them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Ext = dict[str, dict[str, Any]]
Vendor = Literal["anthropic", "openai", "other"]


class Node(Struct, frozen=True, kw_only=True):
    """Common to all parts, turns and tools: fields only one protocol knows, keyed by protocol name."""

    ext: Ext = {}


class CacheMark(Struct, frozen=True):
    """A prompt-cache breakpoint behind this part. `ttl` is the vendor-neutral life: 5m, 30m, 1h or 12h."""

    ttl: Literal["5m", "30m", "1h", "12h"] = "5m"


class Inline(Struct, frozen=True, tag="inline"):
    """Bytes inside the request, base64 without line breaks."""

    media_type: str
    data: str


class Url(Struct, frozen=True, tag="url"):
    url: str


class FileReference(Struct, frozen=True, tag="file"):
    """A file some vendor keeps; it means nothing to another vendor."""

    vendor: Vendor
    id: str


class Plain(Struct, frozen=True, tag="plain"):
    """A document given as text."""

    text: str
    media_type: str = "text/plain"


class Nested(Struct, frozen=True, tag="nested"):
    """A document given as text and image parts."""

    parts: tuple[Part, ...]


Source = Inline | Url | FileReference | Plain | Nested


class Secret(Struct, frozen=True):
    """What a vendor signs or encrypts into reasoning and wants back byte for byte.

    `value` is the signature (`kind` "signature"), the encrypted content ("encrypted") or the
    redacted block's data ("redacted"). `id` is the vendor's item id, where it has one.
    """

    vendor: Vendor
    kind: Literal["signature", "encrypted", "redacted"]
    value: str
    model: str = ""
    id: str = ""


class Citation(Struct, frozen=True):
    """A pointer into a source. `start` and `end` index the text part that carries it (end exclusive).

    `raw` is the vendor's own object, written back by the protocol it came from.
    """

    kind: Literal["url", "document"]
    url: str = ""
    title: str = ""
    quoted: str = ""
    start: int | None = None
    end: int | None = None
    vendor: Vendor = "other"
    raw: dict[str, Any] = {}


class Text(Node, frozen=True, tag="text"):
    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None


class Image(Node, frozen=True, tag="image"):
    source: Source
    detail: str | None = None
    cache: CacheMark | None = None


class Document(Node, frozen=True, tag="document"):
    source: Source
    title: str | None = None
    context: str | None = None
    citations_on: bool = False
    cache: CacheMark | None = None


class Audio(Node, frozen=True, tag="audio"):
    """Base64 audio; `format` is wav or mp3."""

    data: str
    format: str


class SearchResult(Node, frozen=True, tag="search_result"):
    source: str
    title: str
    parts: tuple[Text, ...]
    citations_on: bool = False
    cache: CacheMark | None = None


class Reasoning(Node, frozen=True, tag="reasoning"):
    """A model's thinking. `text` is the thinking itself, `summaries` the vendor's summary parts.

    `redacted` reasoning has only a secret. A vendor takes back only its own (`secret.vendor`).
    """

    text: str = ""
    summaries: tuple[str, ...] = ()
    secret: Secret | None = None
    redacted: bool = False


class ToolCall(Node, frozen=True, tag="tool_call"):
    """The model asks for a tool. `arguments` is JSON text as the model wrote it (it may be invalid),
    or free text for a `freeform` tool. `namespace` is set for a tool that lives in a group.
    """

    id: str
    name: str
    arguments: str = ""
    freeform: bool = False
    namespace: str | None = None
    item_id: str = ""
    cache: CacheMark | None = None


class ToolResult(Node, frozen=True, tag="tool_result"):
    """What the caller's tool answered, for the call of that id."""

    call_id: str
    parts: tuple[Part, ...] = ()
    is_error: bool = False
    freeform: bool = False
    cache: CacheMark | None = None


class HostedCall(Node, frozen=True, tag="hosted_call"):
    """A tool the vendor ran itself, with its results: `raw` holds the vendor's own blocks or items in order.

    `name` is the vendor's tool (web_search, code_execution, …), `protocol` whose shape `raw` has.
    """

    protocol: str
    id: str
    name: str
    raw: tuple[dict[str, Any], ...]


class Refusal(Node, frozen=True, tag="refusal"):
    text: str


class Opaque(Node, frozen=True, tag="opaque"):
    """A block or item nobody here knows, kept in its place for the protocol it came from."""

    protocol: str
    raw: dict[str, Any]


Part = (
    Text
    | Image
    | Document
    | Audio
    | SearchResult
    | Reasoning
    | ToolCall
    | ToolResult
    | HostedCall
    | Refusal
    | Opaque
)


class Turn(Node, frozen=True):
    """One message. `path` is where the client wrote it (`messages.3`), for errors and warnings."""

    role: Literal["system", "developer", "user", "assistant"]
    parts: tuple[Part, ...]
    name: str | None = None
    phase: str | None = None
    path: str = ""
