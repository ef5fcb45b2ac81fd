"""A call on `/v1/predict`: a text is classified by any model, through the same path as every other call."""

from __future__ import annotations

from msgspec import structs

from modelway.accounts.money import format_usd
from modelway.calls.admit import admitted, authenticate
from modelway.calls.asking import answer_json
from modelway.calls.attempt import first_answer
from modelway.calls.call import Call, Client, Services, header_value
from modelway.calls.estimate import estimated_usage
from modelway.calls.route import route
from modelway.protocols import predict


async def serve_predict(call: Call, services: Services, client: Client) -> None:
    """`POST /v1/predict`. Raises CallError; 502 if the model's answer is no prediction, which is paid all
    the same."""
    key = await authenticate(call, services)
    request = predict.parse(await call.read_body(), call.headers)
    async with admitted(key, request, call, client, services) as meter:
        with await first_answer(route(meter.model, services), request, meter) as answer:
            reply = answer.reply
            assert reply is not None, "a prediction is always translated, and never streamed"
            headers = [(b"x-modelway-model", header_value(answer.target.name))]
            if answer.translation.warnings:
                warnings = header_value(answer.translation.warnings_header)
                headers.append((b"x-modelway-warnings", warnings))
            meter.usage = reply.usage
            if meter.usage is None:
                meter.usage = estimated_usage(answer, request)
                headers.append((b"x-modelway-usage", b"estimated"))
            counted = structs.replace(reply, usage=meter.usage)
            body = predict.write_reply(counted, request, answer.translation)
            if (cost := meter.cost(meter.usage)) is not None:
                headers.append((b"x-modelway-cost-usd", format_usd(cost).encode()))
            meter.complete = True
            await meter.ready()
            meter.answered(200)
            await answer_json(client, body, headers)
