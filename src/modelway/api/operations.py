"""What the API answers, one row per path and method: the reference and `/openapi.json` are drawn from it."""

from __future__ import annotations

from typing import NamedTuple

from modelway.catalog.samples import ROUTES


class Operation(NamedTuple):
    """One row of the reference. `request` and `answer` name components; no key is asked where `open`."""

    method: str
    path: str
    group: str
    summary: str
    description: str
    request: str | None = None
    answer: str | None = None
    parameters: tuple[tuple[str, str, str], ...] = ()  # in, name, description
    open: bool = False


_STRICT = ("header", "x-modelway-strict", "1: whatever would be changed or lost on the way is a 400 instead.")
_PATH = ("query", "path", "The protocol of the form or body: chat, responses or messages; chat by default.")
_NAME = ("path", "id", "A model's id or alias; a slash may stand as it is or as %2F.")
_STORED = ("path", "id", "A response's id.")
# Served only to refuse: a WebSocket is asked for with GET.
REFUSALS = frozenset({("GET", "/v1/responses")})
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", ROUTES["chat"], "Inference", "Create a chat completion",
        "OpenAI Chat Completions, for any model. The parameters are those of the model's form.",
        "ChatRequest", "ChatCompletion", (_STRICT,),
    ),
    Operation(
        "POST", ROUTES["responses"], "Inference", "Create a response",
        "OpenAI Responses, for any model. The parameters are those of the model's form.",
        "ResponsesRequest", "Response", (_STRICT,),
    ),
    Operation(
        "POST", ROUTES["messages"], "Inference", "Create a message",
        "Anthropic Messages, for any model. The parameters are those of the model's form.",
        "MessagesRequest", "Message",
        (_STRICT, ("header", "anthropic-version", "As Anthropic defines it; may be left out.")),
    ),
    Operation(
        "GET", "/v1/models", "Models", "List the models",
        "Every name of every model, in a shape that both vendors' SDKs parse.", None, "ModelList",
        (
            ("query", "accepts", "A request body as JSON: only the models that take exactly it."), _PATH,
            ("query", "limit", "Models per page, 1 to 1000; without it, and the next two, all come at once."),
            ("query", "after_id", "The page after this model."),
            ("query", "before_id", "The page before this model."),
        ),
    ),
    Operation(
        "POST", "/v1/models", "Models", "Find the models that take a request",
        "The body is a request's body; the answer lists the models that take exactly it, with nothing "
        "refused, changed or left out.", "AnyRequest", "ModelList", (_PATH,),
    ),
    Operation(
        "GET", "/v1/models/{id}", "Models", "Show one model",
        "What it is, costs and takes; with its flat form and a first request.", None, "Model", (_NAME, _PATH),
    ),
    Operation(
        "GET", "/v1/models/{id}/form_schema", "Models", "Show the form of a model",
        "The JSON Schema its requests are checked against, the same as a flat list, and a first request.",
        None, "FormSchema", (_NAME, _PATH),
    ),
    Operation(
        "POST", "/v1/validate", "Models", "Check a request without sending it",
        "What a call with this body would say: what is refused, what is changed with a warning. "
        "Nothing is called and nothing is charged.", "AnyRequest", "Validation", (_PATH, _STRICT),
    ),
    Operation(
        "POST", "/v1/messages/count_tokens", "Inference", "Count a message's tokens",
        "How many tokens a request to Messages would make the model read.", "MessagesRequest", "TokenCount",
    ),
    Operation(
        "POST", "/v1/responses/input_tokens", "Inference", "Count a response's tokens",
        "How many tokens a request to Responses would make the model read.", "ResponsesRequest", "TokenCount",
    ),
    Operation(
        "POST", "/v1/embeddings", "Inference", "Create embeddings",
        "OpenAI's embeddings, for models that make them.", "EmbeddingsRequest",
    ),
    Operation(
        "POST", "/v1/predict", "Inference", "Classify a text",
        "Any model as a classifier: a label, how sure it is, and why.", "PredictRequest",
    ),
    Operation(
        "GET", "/v1/responses/{id}", "Stored responses", "Fetch a response", "", None, "Response", (_STORED,),
    ),
    Operation(
        "DELETE", "/v1/responses/{id}", "Stored responses", "Delete a response", "", parameters=(_STORED,),
    ),
    Operation(
        "POST", "/v1/responses/{id}/cancel", "Stored responses", "Cancel a response",
        "Ends one that runs in the background.", None, "Response", (_STORED,),
    ),
    Operation(
        "GET", "/v1/responses/{id}/input_items", "Stored responses", "List a response's input", "",
        parameters=(_STORED,),
    ),
    Operation("GET", "/livez", "Health", "Alive?", "200 while the process lives.", open=True),
    Operation("GET", "/readyz", "Health", "Ready?", "200 while new calls are welcome, else 503.", open=True),
    Operation("GET", "/metrics", "Health", "Metrics", "Prometheus' text format.", open=True),
    Operation("GET", "/openapi.json", "Health", "This description", "OpenAPI 3.1.", open=True),
)  # fmt: skip
