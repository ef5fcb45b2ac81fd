"""Names and ids a Messages upstream takes, and the way back to what the client calls them."""

from __future__ import annotations

import base64
import hashlib
import re

from modelway.conversation.translation import Translation

NAME_CHARACTERS_MAX = 128
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


def tool_name(name: str, namespace: str | None, translation: Translation) -> str:
    """The name to send for a tool. A changed one is written down, so that replies get the client's back."""
    full = f"{namespace}__{name}" if namespace else name
    legal = _ILLEGAL.sub("_", full)
    if legal != full or not 1 <= len(full) <= NAME_CHARACTERS_MAX:
        digest = hashlib.sha256(full.encode()).hexdigest()[:8]
        legal = f"{legal[: NAME_CHARACTERS_MAX - 9]}_{digest}"
    if namespace:
        translation.namespaces[legal] = (namespace, name)
    elif legal != name:
        translation.renamed[legal] = name
    return legal


def client_name(name: str, translation: Translation) -> tuple[str, str | None]:
    """The client's name and namespace for a tool the upstream called `name`."""
    if name in translation.namespaces:
        namespace, inner = translation.namespaces[name]
        return inner, namespace
    return translation.renamed.get(name, name), None


class CallIds:
    """Tool call ids of one history: each legal, and each used once; results find their call's."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._latest: dict[str, str] = {}

    def of_call(self, identity: str) -> str:
        """The id to send for a call. It depends on the history only, so the next turn gives the same."""
        sent, number = _legal(identity), 1
        while sent in self._used:
            number += 1
            sent = _digest(f"{identity}#{number}")
        self._used.add(sent)
        self._latest[identity] = sent
        return sent

    def of_result(self, identity: str) -> str:
        return self._latest.get(identity) or _legal(identity)


def _legal(identity: str) -> str:
    return identity if _ID.fullmatch(identity) else _digest(identity)


def _digest(text: str) -> str:
    return "call_" + base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:24].lower()
