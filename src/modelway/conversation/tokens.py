"""How many tokens a model will read, counted without its vocabulary. Pure, and never 0.

Tokenizers of today cut text into pieces by much the same rule (a word with the blank before it, up to
three digits, a run of punctuation, a line's end and its indentation) and most pieces are one token. So
the pieces are counted, and a piece costs what pieces of its kind and length cost on average: the tables
were measured with OpenAI's o200k_base over prose, code and JSON (docs/reference/token-counts.md).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from modelway.conversation.parts import (
    Audio,
    Document,
    HostedCall,
    Image,
    Inline,
    Nested,
    Opaque,
    Part,
    Plain,
    Reasoning,
    Refusal,
    SearchResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from modelway.conversation.request import Conversation, FreeformTool, FunctionTool, HostedTool, Tool

# What a vendor puts around each: role and separators (OpenAI's cookbook counts 3 to 4 a message and 3 for
# the answer's beginning), a call's or a tool's punctuation.
TURN_TOKENS, ANSWER_TOKENS, CALL_TOKENS, TOOL_TOKENS = 4, 3, 6, 8
# OpenAI counts 765 for 1024 × 1024 in high detail, Anthropic a pixel area of 750 a token, at most 1,600.
IMAGE_TOKENS = 1_000
# A page of PDF is text and picture: 1,500 to 3,000 tokens, says Anthropic's documentation; 60 KB a page.
PAGE_TOKENS, PAGE_BASE64_BYTES = 2_000, 80_000
# 16 kHz mono: OpenAI counts 10 tokens a second, and a second is 43 KB of base64 as wav, 21 KB as mp3.
AUDIO_BASE64_BYTES_PER_TOKEN = {"wav": 4_300, "mp3": 2_100}
PIECES_REMEMBERED_MAX = 65_536  # distinct words of a busy gateway, some 10 MB
TEXTS_REMEMBERED_MAX = 64

_UPPER, _LOWER = "A-ZÀ-ÖØ-Þ", "a-zß-öø-ɏ"
_OTHER = "\u0300-\u1fff\u2c00-\ufdff\uff01-\uffee\U00010000-\U0001efff\U00020000-\U0003ffff"
_PIECES = re.compile(
    rf"(?:[^\w\r\n{_OTHER}]|_)?(?:[{_UPPER}]*[{_LOWER}]+(?:'(?:s|t|re|ve|m|ll|d)\b)?|[{_UPPER}]+)"  # Latin
    rf"|\d{{1,3}}| ?[{_OTHER}]+"  # digits; a word of another script, or a run of one that has no blanks
    rf"| ?(?:[^\s\w{_OTHER}]|_)+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+|."
)
_WRITTEN = re.compile(f"[{_OTHER}]")
_LATIN = re.compile(rf"[{_UPPER}{_LOWER}]")
_ACCENTED = re.compile("[À-ÖØ-öø-ɏ]")


def _table(tokens: str) -> tuple[float, ...]:
    return tuple(float(each) for each in tokens.split())


# Tokens of a Latin word by its length: after a blank, at the beginning of something, after a mark such
# as `_` or `.`, and in capitals. Past the table each letter costs LONG_LETTER.
_SPACED = _table("0 1 1 1.01 1.0 1.03 1.04 1.1 1.11 1.18 1.13 1.15 1.1 1.3 1.35 1.8 1.9")
_BARE = _table("0 1 1 1.2 1.04 1.05 1.11 1.15 1.35 1.35 1.5 1.3 1.3 1.5 1.9 2.6 2.8")
_MARKED = _table("0 1.05 1.1 1.32 1.19 1.33 1.28 1.69 1.6 1.8 1.75 2.1 2.0 2.2 2.6 3.0 3.2")
_CAPITALS = _table("0 1 1.08 1.13 1.18 1.45 1.85 1.9 2.1 2.9 2.6 2.8 3.3 3.4 3.6 3.8 4.0")
LONG_LETTER = 0.25
# Words of other languages than English are in fewer vocabularies; accents tell, from one letter in 150 up.
_FOREIGN, _FOREIGN_SHARE = 1.22, 1 / 150

# Tokens a letter, by script: (last code point, tokens). The last row is for everything beyond.
_SCRIPTS: tuple[tuple[int, float], ...] = (
    (0x03FF, 0.4),  # Greek
    (0x052F, 0.21),  # Cyrillic
    (0x058F, 0.6),  # Armenian
    (0x05FF, 0.45),  # Hebrew
    (0x08FF, 0.31),  # Arabic
    (0x0DFF, 0.33),  # the scripts of India
    (0x0EFF, 0.37),  # Thai, Lao
    (0x109F, 0.6),  # Tibetan, Burmese
    (0x10FF, 0.5),  # Georgian
    (0x11FF, 1.0),  # Hangul letters
    (0x2FFF, 1.0),
    (0x303F, 0.9),  # the marks between them
    (0x30FF, 0.68),  # kana
    (0x9FFF, 0.64),  # Han
    (0xABFF, 1.0),
    (0xD7FF, 0.64),  # Hangul syllables
    (0x10FFFF, 2.0),
)
_EMOJI, _EMOJI_TOKENS = 0x1F000, 2.0
# A text longer than this is counted by evenly spread slices, so that no text holds up other calls.
COUNTED_CHARACTERS_MAX, SLICES = 65_536, 16


def count_tokens(conversation: Conversation) -> int:
    """About how many tokens a model reads of this request; at least 1."""
    total: float = ANSWER_TOKENS
    total += sum(_turn(turn) for turn in conversation.turns)
    total += sum(_tool(tool) for tool in conversation.tools)
    if conversation.output.schema is not None:
        total += text_tokens(_json(conversation.output.schema)) + TOOL_TOKENS
    return max(1, math.ceil(total))


def count_parts(parts: Iterable[Part]) -> int:
    """About how many tokens an answer of these parts is; at least 1."""
    return max(1, math.ceil(sum(_written(part) for part in parts)))


def _written(part: Part) -> float:
    return text_tokens(part.text) if isinstance(part, Reasoning) else _parts((part,))


def text_tokens(text: str) -> float:
    """About how many tokens `text` is."""
    length = len(text)
    if length > COUNTED_CHARACTERS_MAX:
        size = COUNTED_CHARACTERS_MAX // SLICES
        begins = [(length - size) * number // (SLICES - 1) for number in range(SLICES)]
        return sum(_counted(text[begin : begin + size]) for begin in begins) * length / (size * SLICES)
    return _counted(text)


# A coding agent's start counts the same instructions and tools fifty times: at most 4 MB of ASCII is kept.
@lru_cache(TEXTS_REMEMBERED_MAX)
def _counted(text: str) -> float:
    pieces = Counter(_PIECES.findall(text))
    foreign = _is_foreign(text)
    return sum(_cost(piece, foreign) * times for piece, times in pieces.items())


def _is_foreign(text: str) -> bool:
    if text.isascii():
        return False
    accented = len(_ACCENTED.findall(text))
    return accented > 0 and accented > len(text) * _FOREIGN_SHARE


@lru_cache(PIECES_REMEMBERED_MAX)
def _cost(piece: str, foreign: bool) -> float:
    if _LATIN.search(piece):
        return _word(piece) * (_FOREIGN if foreign and len(piece) > 3 else 1)
    if piece[0].isdecimal() or piece.isspace():
        return 1
    if _WRITTEN.search(piece):
        return max(1.0, sum(_letter(ord(letter)) for letter in piece.lstrip(" ")))
    return _marks(piece.strip())


def _word(piece: str) -> float:
    spaced = piece[0] == " "
    word = piece if piece[0].isalpha() else piece[1:]
    length = len(word)
    if length > 1 and word.isupper():
        table = _CAPITALS
    else:
        table = _SPACED if spaced else _BARE if word is piece else _MARKED
    if length < len(table):
        return table[length]
    return table[-1] + (length + 1 - len(table)) * LONG_LETTER


def _letter(code: int) -> float:
    return next(tokens for last, tokens in _SCRIPTS if code <= last)


def _marks(run: str) -> float:
    """Punctuation and symbols: three of them are usually one token, a ruler (`-----`) nearly so."""
    emoji = sum(1 for each in run if ord(each) >= _EMOJI)
    length = len(run) - emoji
    if length == 0:
        return emoji * _EMOJI_TOKENS
    ruler = len(set(run)) == 1
    return emoji * _EMOJI_TOKENS + (1 + length / 32 if ruler else 1 + max(0, length - 3) * 0.42)


def _turn(turn: Turn) -> float:
    return TURN_TOKENS + text_tokens(turn.name or "") + _parts(turn.parts)


def _parts(parts: Iterable[Part]) -> float:
    return sum(_KINDS[type(part)](part) for part in parts)


def _call(part: ToolCall) -> float:
    return CALL_TOKENS + text_tokens(part.name) + text_tokens(part.arguments)


def _document(part: Document) -> float:
    return text_tokens(part.title or "") + text_tokens(part.context or "") + _source(part.source)


def _source(source: Source) -> float:
    match source:
        case Inline(media_type, data) if media_type.startswith("text/"):
            return len(data) * 3 / 4 / 4  # about four bytes a token
        case Inline(_, data):
            return PAGE_TOKENS * max(1, len(data) // PAGE_BASE64_BYTES)
        case Plain(text):
            return text_tokens(text)
        case Nested(parts):
            return _parts(parts)
        case _:
            return PAGE_TOKENS


def _audio(part: Audio) -> float:
    return 1 + len(part.data) / AUDIO_BASE64_BYTES_PER_TOKEN.get(part.format, 2_100)


def _found(part: SearchResult) -> float:
    return text_tokens(part.source) + text_tokens(part.title) + _parts(part.parts)


def _raw(values: Iterable[dict[str, Any]]) -> float:
    return sum(text_tokens(_json(value)) for value in values)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# Thinking of earlier turns is not read again: Anthropic's documentation of count_tokens says so.
_KINDS: dict[type, Callable[[Any], float]] = {
    Text: lambda part: text_tokens(part.text),
    Refusal: lambda part: text_tokens(part.text),
    Image: lambda part: IMAGE_TOKENS,
    Document: _document,
    Audio: _audio,
    SearchResult: _found,
    Reasoning: lambda part: 0.0,
    ToolCall: _call,
    ToolResult: lambda part: TURN_TOKENS + _parts(part.parts),
    HostedCall: lambda part: _raw(part.raw),
    Opaque: lambda part: _raw((part.raw,)),
}


def _tool(tool: Tool) -> float:
    match tool:
        case FunctionTool():
            said = text_tokens(tool.name) + text_tokens(tool.description or "")
            return TOOL_TOKENS + said + text_tokens(_json(tool.schema))
        case FreeformTool():
            said = text_tokens(tool.name) + text_tokens(tool.description or "")
            return TOOL_TOKENS + said + (text_tokens(_json(tool.grammar)) if tool.grammar else 0)
        case HostedTool():
            return TOOL_TOKENS + text_tokens(_json(tool.raw))
