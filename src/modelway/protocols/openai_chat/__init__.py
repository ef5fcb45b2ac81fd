"""OpenAI Chat Completions, both sides of it, and the dialects that servers and clients make of it."""

from __future__ import annotations

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Reply
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.interface import Headers, ProtocolName, Watch
from modelway.protocols.openai_chat import replies, request_writer, stream_writer
from modelway.protocols.openai_chat.losses import LOSSES
from modelway.protocols.openai_chat.requests import ChatRequest, parse_request
from modelway.protocols.openai_chat.stream_reader import ChatReader
from modelway.protocols.openai_chat.stream_writer import ChatWriter
from modelway.protocols.openai_chat.watch import StreamWatch, WholeWatch
from modelway.protocols.sse import COMMENT_HEARTBEAT


class Chat:
    """See `protocols.interface.WireProtocol`."""

    name: ProtocolName = "chat"
    upstream_path = "/chat/completions"
    heartbeat = COMMENT_HEARTBEAT

    def parse(self, body: bytes, headers: Headers) -> ChatRequest:
        return parse_request(body, headers)

    def write_request(self, conversation: Conversation, translation: Translation) -> bytes:
        return request_writer.write_request(conversation, translation)

    def read_reply(self, body: bytes, translation: Translation) -> Reply:
        return replies.read_reply(body, translation)

    def write_reply(self, reply: Reply, translation: Translation) -> bytes:
        return replies.write_reply(reply, translation)

    def reader(self, translation: Translation) -> ChatReader:
        return ChatReader(translation)

    def writer(self, translation: Translation) -> ChatWriter:
        return ChatWriter(translation)

    def watch(self, stream: bool, model_asked: str, model_sent: str, include_usage: bool) -> Watch:
        model = model_asked if model_asked != model_sent else None
        return StreamWatch(model, include_usage) if stream else WholeWatch(model)

    def error_frame(self, error: CallError, request_id: str) -> bytes:
        return stream_writer.error_frame(error, request_id)


CHAT = Chat()

__all__ = ["CHAT", "LOSSES", "Chat"]
