"""One call's translation: who speaks what, what must be mapped back, and what was lost on the way.

Mutable, one per attempt. Ids and times come from here, so that the protocols stay pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct, field

from modelway.conversation.capabilities import ANY_MODEL, Capabilities
from modelway.conversation.errors import CallError
from modelway.conversation.request import Conversation

# A header carries the warnings; more than this many would not fit a proxy's header limit (8 KiB).
WARNINGS_MAX = 40


class Fate(StrEnum):
    """What becomes of a field on its way into another protocol."""

    KEPT = "kept"
    EXTENSION = "extension"  # kept, in a field that only an aware peer reads
    SILENT = "silent"  # dropped: a hint that changes nothing of the answer
    CHANGED = "changed"  # changed or dropped with a warning; strict mode refuses it
    REFUSED = "refused"  # 400


@dataclass(frozen=True, slots=True)
class Loss:
    """One row of a protocol's loss table: what happens to `field` when it is written in that protocol."""

    field: str
    fate: Fate
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Warning:
    code: str
    param: str
    detail: str


class Translation(Struct, eq=False):
    """What readers and writers of one call share.

    `client` and `upstream` are protocol names. `mint(prefix)` makes a new id (`msg_…`); `now_s` is the
    epoch second the call began. `renamed` maps names sent upstream back to the client's; `asked` is
    what the client asked, for the fields a reply echoes. `envelope_secret` signs reasoning envelopes.
    `reply_id` is the reply's id towards the client, once a writer has minted it.
    `resumes` is set while a paused answer is sent back: the conversation then ends with the assistant,
    who goes on. `answer_tool` is the tool a model without structured output was made to answer through:
    its input is the answer's text. `request_id` goes into the error frame of a stream that broke.
    """

    client: str
    upstream: str
    model_asked: str
    mint: Callable[[str], str]
    now_s: int
    capabilities: Capabilities = ANY_MODEL
    vendor: str = "other"
    strict: bool = False
    extensions: bool = False
    envelope_secret: bytes = b""
    asked: Conversation | None = None
    model_answered: str = ""
    reply_id: str = ""
    prompt_tokens_estimate: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)
    freeform: set[str] = field(default_factory=set)
    legacy_functions: bool = False
    enforced_stops: tuple[str, ...] = ()
    answer_tool: str = ""
    resumes: bool = False
    request_id: str = ""
    warnings: list[Warning] = field(default_factory=list)

    def warn(self, code: str, param: str, detail: str) -> None:
        """Something is changed or lost. In strict mode that is a 400 instead."""
        if self.strict:
            raise CallError.unsupported(f"{detail} (x-modelway-strict is on)", param=param, code=code)
        warning = Warning(code, param, detail)
        if warning not in self.warnings and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(warning)

    def lose(self, loss: Loss, param: str = "", detail: str = "") -> None:
        """Apply one row of a loss table: warn, refuse, or say nothing, as the row says."""
        where, text = param or loss.field, detail or loss.why
        if loss.fate is Fate.REFUSED:
            raise CallError.unsupported(text, param=where, code=loss.code)
        if loss.fate is Fate.CHANGED:
            self.warn(loss.code, where, text)

    @property
    def warnings_header(self) -> str:
        """`code;param=path, code;param=path` for `x-modelway-warnings`."""
        return ", ".join(f"{w.code};param={w.param}" if w.param else w.code for w in self.warnings)
