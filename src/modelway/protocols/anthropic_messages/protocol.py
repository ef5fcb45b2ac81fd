"""Anthropic's Messages protocol as one object: what `interface.WireProtocol` asks for."""

from __future__ import annotations

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Reply
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.anthropic_messages import requests
from modelway.protocols.anthropic_messages.read_replies import read_reply
from modelway.protocols.anthropic_messages.read_streams import MessagesReader
from modelway.protocols.anthropic_messages.requests import MessagesRequest
from modelway.protocols.anthropic_messages.watching import StreamWatch, WholeWatch
from modelway.protocols.anthropic_messages.write_replies import write_reply
from modelway.protocols.anthropic_messages.write_requests import write_request
from modelway.protocols.anthropic_messages.write_streams import PING, MessagesWriter, error_frame
from modelway.protocols.interface import Headers, ProtocolName, StreamReader, StreamWriter, Watch


class Messages:
    """See `interface.WireProtocol` for what each method promises."""

    name: ProtocolName = "messages"
    upstream_path = "/v1/messages"
    heartbeat = PING

    def parse(self, body: bytes, headers: Headers) -> MessagesRequest:
        return requests.parse(body, headers)

    def parse_count(self, body: bytes, headers: Headers) -> MessagesRequest:
        """A request to count tokens: `max_tokens` may be absent."""
        return requests.parse_count(body, headers)

    def write_request(self, conversation: Conversation, translation: Translation) -> bytes:
        return write_request(conversation, translation)

    def read_reply(self, body: bytes, translation: Translation) -> Reply:
        return read_reply(body, translation)

    def write_reply(self, reply: Reply, translation: Translation) -> bytes:
        return write_reply(reply, translation)

    def reader(self, translation: Translation) -> StreamReader:
        return MessagesReader(translation)

    def writer(self, translation: Translation) -> StreamWriter:
        return MessagesWriter(translation)

    def watch(self, stream: bool, model_asked: str, model_sent: str, include_usage: bool) -> Watch:
        return StreamWatch(model_asked, model_sent) if stream else WholeWatch(model_asked, model_sent)

    def error_frame(self, error: CallError, request_id: str) -> bytes:
        return error_frame(error, request_id)


MESSAGES = Messages()
