"""What an answer used, where its provider does not say: counted here, and marked as an estimate."""

from __future__ import annotations

from modelway.calls.attempt import Answer
from modelway.conversation.errors import CallError
from modelway.conversation.reply import Usage
from modelway.conversation.tokens import count_parts, count_tokens
from modelway.protocols.interface import Request

BYTES_PER_TOKEN = 4  # of text that nobody here can read


def estimated_usage(answer: Answer, request: Request) -> Usage:
    """The usage of a whole answer, from what was asked and what was said."""
    translation = answer.translation
    try:
        asked = translation.asked or request.conversation(translation)
        said = answer.speaks.read_reply(answer.body, translation).parts
    except CallError:  # it passed through, and holds what we could not have translated
        return Usage(
            input_tokens=request.prompt_tokens_estimate(),
            output_tokens=max(1, len(answer.body) // BYTES_PER_TOKEN),
            estimated=True,
        )
    return Usage(input_tokens=count_tokens(asked), output_tokens=count_parts(said), estimated=True)
