"""The rules of the Messages protocol that need more than types.

`check` refuses what no upstream would take. `examine` finds what only some ways refuse: a tool history
that does not fit together is repaired on the way to another protocol, and refused on the native one.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

import msgspec

from modelway.conversation.errors import CallError
from modelway.protocols.anthropic_messages.wire import (
    BUDGET_TOKENS_MIN,
    IMAGE_TYPES,
    MESSAGES_MAX,
    VERSION_NO_SAMPLING,
    Block,
    Body,
    Message,
    Source,
    Thinking,
    present,
)

ROLES = ("user", "assistant", "system")
THINKING_TYPES = ("enabled", "adaptive", "disabled", "between_tools")
TOOL_CHOICES = ("auto", "any", "tool", "none")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_BASE64 = (string.ascii_letters + string.digits + "+/").encode()
# What one picture costs a model at the size vendors scale it down to, and a page or so of a document
# for every 60,000 characters of base64: rough, for admission only.
IMAGE_TOKENS = 1_600
DOCUMENT_TOKENS_MIN = 2_000
DOCUMENT_CHARACTERS_PER_TOKEN = 30

_sources = msgspec.json.Decoder(Source)
_blocks = msgspec.json.Decoder(list[Block])


@dataclass(slots=True)
class Findings:
    """What `examine` saw. `history` and `native` are errors that depend on the way the call takes."""

    history: CallError | None = None
    native: CallError | None = None
    passable: bool = True
    inline_bytes: int = 0
    inline_tokens: int = 0

    def raise_native(self) -> None:
        error = self.history or self.native
        if error is not None:
            raise error


def check(body: Body, version: str) -> None:
    """Refuse (400) what is wrong whichever way the call takes."""
    _check_messages(body.messages)
    _check_sampling(body, version)
    if body.thinking is not None:
        _check_thinking(body.thinking, body.max_tokens)
    _check_tools(body)
    if present(body.output_format) and body.output_config and present(body.output_config.format):
        raise CallError.invalid(
            "Both `output_format` and `output_config.format` are given; give only `output_config.format`",
            param="output_format",
        )


def _check_messages(messages: list[Message]) -> None:
    if not 1 <= len(messages) <= MESSAGES_MAX:
        raise CallError.invalid(
            f"`messages` has {len(messages)} entries; 1 to {MESSAGES_MAX} are right", param="messages"
        )
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            raise CallError.invalid(
                f"`messages.{index}.role` is {message.role!r}; right are user, assistant and system",
                param=f"messages.{index}.role",
            )
    first = next((message.role for message in messages if message.role != "system"), "user")
    if first != "user":
        raise CallError.invalid(
            f"messages: first message must use the user role, this one uses {first!r}",
            param="messages.0.role",
        )


def _check_sampling(body: Body, version: str) -> None:
    if version != VERSION_NO_SAMPLING:
        return
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(body, name)
        if value is not None:
            raise CallError.invalid(
                f"`{name}` is {value}; version {version} of the Messages API has no sampling fields. "
                "Leave it out, or send anthropic-version: 2023-06-01",
                param=name,
            )


def _check_thinking(thinking: Thinking, max_tokens: int | None) -> None:
    if thinking.type not in THINKING_TYPES:
        raise CallError.invalid(
            f"`thinking.type` is {thinking.type!r}; right are {', '.join(THINKING_TYPES)}",
            param="thinking.type",
        )
    if thinking.type != "enabled":
        return
    budget = thinking.budget_tokens
    if budget is None or budget < BUDGET_TOKENS_MIN:
        raise CallError.invalid(
            f"`thinking.budget_tokens` is {budget}; {BUDGET_TOKENS_MIN} or more is right",
            param="thinking.budget_tokens",
        )
    if max_tokens is not None and budget >= max_tokens:
        raise CallError.invalid(
            f"`thinking.budget_tokens` is {budget}; it must be less than `max_tokens`, which is {max_tokens}",
            param="thinking.budget_tokens",
        )


def _check_tools(body: Body) -> None:
    seen: set[str] = set()
    for index, tool in enumerate(body.tools or []):
        where = f"tools.{index}.name"
        custom = tool.type is None or tool.type == "custom"
        if custom and not _TOOL_NAME.fullmatch(tool.name):
            raise CallError.invalid(
                f"`{where}` is {tool.name!r}; 1 to 128 letters, digits, _ and - are right", param=where
            )
        if tool.name and tool.name in seen:
            raise CallError(
                "invalid",
                f"`{where}` is {tool.name!r}, which an earlier tool is called; names must differ",
                param=where,
                details={"error_code": "tool_name_conflict"},
            )
        seen.add(tool.name)
    choice = body.tool_choice
    if choice is None or isinstance(choice, str):
        return
    if choice.type not in TOOL_CHOICES:
        raise CallError.invalid(
            f"`tool_choice.type` is {choice.type!r}; right are auto, any, tool and none",
            param="tool_choice.type",
        )
    toolset = any(tool.type and "toolset" in tool.type for tool in body.tools or [])
    if choice.type == "tool" and (not choice.name or (choice.name not in seen and not toolset)):
        raise CallError.invalid(
            f"`tool_choice.name` is {choice.name!r}; the name of one of `tools` is right",
            param="tool_choice.name",
        )


def examine(body: Body, version: str) -> Findings:
    """Look through all content once: pictures, tool pairs, and what makes a body unfit to pass on."""
    findings = Findings()
    findings.passable = body.messages[0].role != "system" and not isinstance(body.tool_choice, str)
    walk = _Walk(findings, version, continues=body.thread is not None and body.thread.type == "continue")
    for index, message in enumerate(body.messages):
        walk.message(index, message)
    walk.close()
    _check_end(body.messages[-1], len(body.messages) - 1, findings)
    return findings


def _check_end(last: Message, index: int, findings: Findings) -> None:
    """A final assistant text is a prefill, and may not end in white space."""
    if last.role != "assistant":
        return
    text = last.content if isinstance(last.content, str) else ""
    if isinstance(last.content, list) and last.content and last.content[-1].type == "text":
        text = msgspec.json.decode(last.content[-1].text or b'""', type=str)
    if text and text != text.rstrip():
        findings.native = CallError.invalid(
            "messages: final assistant content cannot end with trailing whitespace",
            param=f"messages.{index}.content",
        )


class _Walk:
    """Goes through the messages in order, with the tool calls that still wait for a result."""

    def __init__(self, findings: Findings, version: str, continues: bool) -> None:
        self.findings = findings
        self.version = version
        self.continues = continues  # the calls answered first are in messages that the provider keeps
        self.waiting: dict[str, str] = {}  # id of a call -> where it stands
        self.answered: set[str] = set()
        self.role = "user"

    def message(self, index: int, message: Message) -> None:
        # Messages of one role in a row count as one, so the answers are due when the user's turn ends.
        if message.role == "assistant" and self.role == "user":
            self.close()
            self.answered.clear()
            self.continues = False
        self.role = message.role if message.role != "system" else self.role
        after_other = False
        blocks = message.content if isinstance(message.content, list) else []
        for number, block in enumerate(blocks):
            where = f"messages.{index}.content.{number}"
            if block.type == "tool_result":
                self._result(block, where, message.role, after_other)
            elif message.role == "user":
                after_other = True
            self._block(block, where, message.role)

    def close(self) -> None:
        """Every call made so far must have its result."""
        if self.waiting:
            names = ", ".join(self.waiting)
            self._broken(
                f"The tool calls {names} have no `tool_result` in the message after them",
                next(iter(self.waiting.values())),
            )
            self.waiting.clear()

    def _block(self, block: Block, where: str, role: str) -> None:
        if block.type == "tool_use" and role == "assistant" and isinstance(block.id, str):
            self.waiting[block.id] = where
        elif block.type in ("image", "document"):
            self._media(block, where, role)
        elif block.type == "text" and present(block.citations) and role == "user":
            self._citations(block, where)
        if block.type == "tool_result" and bytes(block.content)[:1] == b"[":
            for number, inner in enumerate(_blocks.decode(block.content)):
                self._block(inner, f"{where}.content.{number}", role)

    def _result(self, block: Block, where: str, role: str, after_other: bool) -> None:
        identity = block.tool_use_id
        if identity in self.answered:
            self._broken(f"`{where}` answers {identity!r}, which has its result already", where)
        elif (self.waiting.pop(identity, None) is None and not self.continues) or role != "user":
            self._broken(
                f"`{where}` answers {identity!r}; the message before it makes no such tool call", where
            )
        elif after_other:
            self._broken(f"`{where}` follows other content; tool results come first in their message", where)
        self.answered.add(identity)

    def _broken(self, message: str, where: str) -> None:
        if self.findings.history is None:
            self.findings.history = CallError.invalid(message, param=where)

    def _citations(self, block: Block, where: str) -> None:
        if self.version == VERSION_NO_SAMPLING and bytes(block.citations) != b"[]":
            raise CallError.invalid(
                f"`{where}.citations` is not empty; version {self.version} takes citations only in "
                "assistant messages",
                param=f"{where}.citations",
            )

    def _media(self, block: Block, where: str, role: str) -> None:
        if block.type == "document" and role == "assistant" and self.version == VERSION_NO_SAMPLING:
            raise CallError.invalid(
                f"`{where}` is a document in an assistant message; version {self.version} takes them "
                "only from the user",
                param=where,
            )
        if not present(block.source):
            raise CallError.invalid(f"`{where}.source` is missing", param=f"{where}.source")
        try:
            source = _sources.decode(block.source)
        except msgspec.MsgspecError as reason:
            raise CallError.invalid(f"`{where}.source`: {reason}", param=f"{where}.source") from None
        if block.type == "image" and source.type in ("url", "file"):
            self.findings.inline_tokens += IMAGE_TOKENS
        if source.type == "base64":
            self._inline(block.type, source, f"{where}.source")

    def _inline(self, kind: str, source: Source, where: str) -> None:
        if kind == "image" and source.media_type not in IMAGE_TYPES:
            raise CallError.invalid(
                f"`{where}.media_type` is {source.media_type!r}; right are {', '.join(IMAGE_TYPES)}",
                param=f"{where}.media_type",
                code="invalid_image_format",
            )
        data = source.data if isinstance(source.data, str) else ""
        if not is_base64(data):
            raise CallError.invalid(
                f"`{where}.data` ({len(data)} characters) is not base64 without line breaks",
                param=f"{where}.data",
            )
        self.findings.inline_bytes += len(data)
        document = max(DOCUMENT_TOKENS_MIN, len(data) // DOCUMENT_CHARACTERS_PER_TOKEN)
        self.findings.inline_tokens += IMAGE_TOKENS if kind == "image" else document


def is_base64(data: str) -> bool:
    """Whether `data` would decode; looks at the alphabet and the length only, at memory speed."""
    body = data.rstrip("=")
    padded = len(data) - len(body) <= 2 and len(data) % 4 == 0
    return bool(data) and padded and data.isascii() and not body.encode().translate(None, _BASE64)
