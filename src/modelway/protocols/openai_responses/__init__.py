"""OpenAI Responses, both sides of it. `RESPONSES` is all that the rest of the gateway sees."""

from __future__ import annotations

from modelway.conversation.errors import CallError
from modelway.conversation.reply import Reply
from modelway.conversation.request import Conversation
from modelway.conversation.translation import Translation
from modelway.protocols.interface import Headers, ProtocolName, Watch, WireProtocol
from modelway.protocols.openai_responses.ladder import LadderWriter, error_frame
from modelway.protocols.openai_responses.losses import LOSSES
from modelway.protocols.openai_responses.outgoing import write_request
from modelway.protocols.openai_responses.replies import read_reply, write_reply
from modelway.protocols.openai_responses.stored import expand, input_items, output_items, references
from modelway.protocols.openai_responses.streams import Reader
from modelway.protocols.openai_responses.watch import StreamWatch, WholeWatch
from modelway.protocols.openai_responses.wire import ResponsesRequest, parse, without
from modelway.protocols.sse import COMMENT_HEARTBEAT

__all__ = [
    "LOSSES",
    "RESPONSES",
    "ResponsesRequest",
    "expand",
    "input_items",
    "output_items",
    "references",
    "without",
]


class _Responses:
    name: ProtocolName = "responses"
    upstream_path = "/responses"
    heartbeat = COMMENT_HEARTBEAT

    def parse(self, body: bytes, headers: Headers) -> ResponsesRequest:
        return parse(body, headers)

    def write_request(self, conversation: Conversation, translation: Translation) -> bytes:
        return write_request(conversation, translation)

    def read_reply(self, body: bytes, translation: Translation) -> Reply:
        return read_reply(body, translation)

    def write_reply(self, reply: Reply, translation: Translation) -> bytes:
        return write_reply(reply, translation)

    def reader(self, translation: Translation) -> Reader:
        return Reader(translation)

    def writer(self, translation: Translation) -> LadderWriter:
        return LadderWriter(translation)

    def watch(self, stream: bool, model_asked: str, model_sent: str, include_usage: bool) -> Watch:
        return StreamWatch(model_asked, model_sent) if stream else WholeWatch(model_asked, model_sent)

    def error_frame(self, error: CallError, request_id: str) -> bytes:
        return error_frame(error, request_id)


RESPONSES: WireProtocol = _Responses()
