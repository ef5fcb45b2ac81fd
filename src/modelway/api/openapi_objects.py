"""The answers' shapes in OpenAPI: one table per object, in a shorthand that `schemas` expands."""

from __future__ import annotations

import re
from typing import Any

from modelway.api.openapi_usage import USAGE_OBJECTS
from modelway.conversation.errors import KINDS

Schema = dict[str, Any]
EITHER_HEADER: list[dict[str, list[str]]] = [{"bearer": []}, {"x-api-key": []}]
# What can go wrong before a provider is asked, and with one.
_BEFORE = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503)
_WITH_A_PROVIDER = (502, 504)

# Type and description of a field. "?" before a type: it may be null; "[]": an array; "$": another object.
Row = tuple[str, str]
OBJECTS: dict[str, dict[str, Row]] = {
    "EmbeddingsRequest": {
        "model": ("string", "The model that answers."),
        "input": ("", "A text, a list of texts, or lists of tokens."),
        "encoding_format": ("?string", "float or base64."),
        "dimensions": ("?integer", "How long each vector is."),
        "user": ("?string", "An opaque name for the end user."),
    },
    "ChatCompletion": {
        "id": ("string", "Begins with chatcmpl-."),
        "object": ("string", "chat.completion"),
        "created": ("integer", "When the answer began, in epoch seconds."),
        "model": ("string", "The model's name as the request spelled it."),
        "choices": ("[]$ChatChoice", "One per `n`."),
        "usage": ("$ChatUsage", "Tokens of this call."),
        "system_fingerprint": ("?string", "The provider's, where it gives one."),
    },
    "ChatChoice": {
        "index": ("integer", "Counts from 0."),
        "message": ("$ChatMessage", "The answer."),
        "finish_reason": ("?string", "stop, length, tool_calls or content_filter."),
        "logprobs": ("?object", "Only with `logprobs`."),
    },
    "ChatMessage": {
        "role": ("string", "assistant"),
        "content": ("?string", "The answer's text."),
        "reasoning_content": ("?string", "The model's thinking, where it may be shown."),
        "refusal": ("?string", "Why the model will not answer."),
        "tool_calls": ("[]object", "Tools the model wants called."),
    },
    "ChatUsage": {
        "prompt_tokens": ("integer", "Tokens read."),
        "completion_tokens": ("integer", "Tokens written, reasoning included."),
        "total_tokens": ("integer", "Both together."),
        "prompt_tokens_details": ("object", "Of the tokens read: `cached_tokens` and more."),
        "completion_tokens_details": ("object", "Of the tokens written: `reasoning_tokens` and more."),
    },
    "Response": {
        "id": ("string", "Begins with resp_."),
        "object": ("string", "response"),
        "created_at": ("integer", "When the answer began, in epoch seconds."),
        "status": ("string", "completed, incomplete, failed, in_progress, queued or cancelled."),
        "model": ("string", "The model's name as the request spelled it."),
        "output": ("[]object", "Messages, reasoning and tool calls, in order."),
        "usage": ("?object", "`input_tokens`, `output_tokens`, `total_tokens` and their details."),
        "error": ("?object", "Why it failed."),
        "incomplete_details": ("?object", "Why it stopped early."),
    },
    "Message": {
        "id": ("string", "Begins with msg_."),
        "type": ("string", "message"),
        "role": ("string", "assistant"),
        "model": ("string", "The model's name as the request spelled it."),
        "content": ("[]object", "Blocks: text, thinking, tool_use."),
        "stop_reason": ("?string", "end_turn, max_tokens, stop_sequence, tool_use, refusal or pause_turn."),
        "stop_sequence": ("?string", "The text that stopped it."),
        "usage": ("object", "`input_tokens`, `output_tokens` and the cache's."),
    },
    "TokenCount": {"input_tokens": ("integer", "Tokens the model would read.")},
    "Model": {
        "id": ("string", "What a request's `model` says."),
        "object": ("string", "model"),
        "type": ("string", "model"),
        "created": ("integer", "The model's release, in epoch seconds."),
        "created_at": ("string", "The same as RFC 3339."),
        "owned_by": ("string", "The vendor."),
        "display_name": ("string", "The model's name for people."),
        "description": ("string", "What it is good for."),
        "lifecycle": ("string", "active, deprecated or retired."),
        "max_input_tokens": ("?integer", "The context window."),
        "max_tokens": ("?integer", "The longest answer."),
        "input_modalities": ("[]string", "What it reads."),
        "output_modalities": ("[]string", "What it writes."),
        "capabilities": ("object", "Each ability with `supported`."),
        "pricing": ("?object", "List prices in USD per million tokens, as decimal strings."),
        "form_schema": ("[]$Parameter", "Only of one model: every parameter it takes on `path`."),
        "request_example": ("object", "Only of one model: a first request on `path`."),
    },
    "ModelList": {
        "object": ("string", "list"),
        "data": ("[]$Model", "Each name of each model."),
        "has_more": ("boolean", "Whether there is another page."),
        "first_id": ("?string", "For `before_id`."),
        "last_id": ("?string", "For `after_id`."),
    },
    "Parameter": {
        "name": ("string", "The field; a field of an object as object.field."),
        "type": ("string", "JSON's word for its type."),
        "required": ("boolean", "Whether a request must have it."),
        "default": ("", "What leaving it out means."),
        "minimum": ("number", "The smallest value."),
        "maximum": ("number", "The largest value."),
        "enum": ("[]", "The values it may have."),
        "description": ("string", "What it does."),
    },
    "FormSchema": {
        "model": ("string", "The model asked for."),
        "path": ("string", "chat, responses or messages."),
        "schema": ("object", "JSON Schema 2020-12 of a request's body."),
        "form_schema": ("[]$Parameter", "The same as a flat list."),
        "request_example": ("object", "A first request."),
    },
    "Validation": {
        "model": ("string", "The model the body names."),
        "path": ("string", "chat, responses or messages."),
        "valid": ("boolean", "Whether a call with this body would be sent on."),
        "violations": (
            "[]object",
            "What is wrong: param (a JSON pointer), received, allowed, nearest, rule.",
        ),
        "warnings": ("[]object", "What would be changed: code, param, received, becomes."),
        "sent_as": ("?object", "The parameters after those changes."),
    },
    "Key": {
        "object": ("string", "key"),
        "id": ("string", "Begins with key_."),
        "name": ("string", "What it is for."),
        "masked": ("string", "Its first and last characters; its text is kept nowhere."),
        "kind": ("string", "api (calls models) or management (changes keys, budgets, members)."),
        "status": ("string", "active, revoked or expired."),
        "account_id": ("string", "Who pays."),
        "member_id": ("?string", "Whose it is."),
        "models": ("[]string", "Ids and patterns it may call; null: every model."),
        "endpoints": ("[]string", "Paths and patterns it may be used on; null: every path."),
        "addresses": ("[]string", "Networks it may be used from; null: every address."),
        "limit_usd": ("?string", "What it may spend before `resets` starts the count anew."),
        "resets": ("string", "never, daily (00:00 UTC), weekly (Monday) or monthly (the first)."),
        "created_at": ("string", "RFC 3339."),
        "expires_at": ("?string", "RFC 3339; from then on it is refused."),
        "revoked_at": ("?string", "RFC 3339."),
        "last_used_at": ("?string", "RFC 3339, a minute late at most."),
        "replaces_id": ("?string", "The key it was made to take over from."),
        "rate_limits": ("?object", "Its own; null: the installation's. 0: no limit."),
        "rate_limits_granted": (
            "boolean",
            "Whether they hold where they are looser than the installation's.",
        ),
        "key": ("string", "The text. Only in the answer that made it, and never again."),
    },
    "Budget": {
        "object": ("string", "budget"),
        "id": ("string", "Begins with bud_."),
        "account_id": ("string", "Whose it is."),
        "scope": ("string", "account, member, key or model: whose calls count."),
        "subject": ("string", "The id of what it is for."),
        "resets": ("string", "never, daily, weekly or monthly."),
        "limit_usd": ("string", "What may be spent in a window."),
        "spent_usd": ("string", "What was, in this one."),
        "held_usd": ("string", "What calls under way may still cost."),
        "began_at": ("string", "When this window began."),
        "resets_at": ("?string", "When the next one begins."),
        "alerts": ("[]integer", "Percentages at which somebody is told."),
        "created_at": ("string", "RFC 3339."),
    },
    "Member": {
        "object": ("string", "member"),
        "id": ("string", "Begins with mem_."),
        "account_id": ("string", "Of which account."),
        "name": ("string", "What they are called."),
        "role": ("string", "owner, admin, developer or viewer."),
        "created_at": ("string", "RFC 3339."),
    },
    "Account": {
        "object": ("string", "account"),
        "id": ("string", "Begins with acct_."),
        "name": ("string", "Unique here."),
        "billing": ("string", "prepaid or postpaid."),
        "limit_usd": ("?string", "What it may owe; null: no limit."),
        "rate_limits": ("?object", "Of all its keys together; null: none."),
        "created_at": ("string", "RFC 3339."),
    },
    "Deed": {
        "object": ("string", "deed"),
        "id": ("string", "Begins with deed_."),
        "account_id": ("string", "Whose thing was changed."),
        "at": ("string", "RFC 3339."),
        "via": ("string", "api, cli, page or start."),
        "key_id": ("?string", "The management key that asked; null too if it is the installation owner's."),
        "member_id": ("?string", "Whose key that is."),
        "request_id": ("?string", "Of the request that did it."),
        "action": ("string", "key.create, budget.remove, money.top_up and so on."),
        "subject": ("string", "The id of what was changed."),
        "details": ("object", "What it became; never a secret."),
    },
    "Movement": {
        "object": ("string", "transaction"),
        "id": ("string", "Begins with ent_."),
        "account_id": ("string", "Whose statement it is on."),
        "type": ("string", "top_up, withdrawal, refund or voucher."),
        "direction": ("string", "in or out."),
        "amount_usd": ("string", "Always positive."),
        "reference_id": ("?string", "The charge that is given back, or the voucher, masked."),
        "note": ("?string", "As it was given."),
        "created_at": ("string", "RFC 3339."),
    },
    "Voucher": {
        "object": ("string", "voucher"),
        "voucher": ("string", "The text. Only in this answer."),
        "masked": ("string", "As statements show it."),
        "usd": ("string", "What it is worth."),
        "expires_at": ("?string", "RFC 3339."),
    },
    "Deleted": {
        "object": ("string", "What it was."),
        "id": ("string", "Its id."),
        "deleted": ("boolean", "true"),
    },
    "StoredCard": {
        "object": ("string", "card"),
        "id": ("string", "The card's own: vendor/model."),
        "text": ("string", "YAML, as it was written."),
        "changed_at": ("string", "RFC 3339."),
        "changed_by": ("?string", "The id of the key it was written with."),
        "change": ("integer", "Rises with every change; for `seen_change`."),
    },
    "CardCheck": {
        "object": ("string", "card_check"),
        "id": ("string", "The card's own: vendor/model."),
        "valid": ("boolean", "Whether it can be kept."),
        "faults": ("[]object", "What is wrong: message, place (prices.input), line (from 1, or null)."),
        "is_new": ("boolean", "Whether nothing had this id before."),
        "change": ("integer", "The change of what is kept under this id; 0: nothing is."),
        "changes": ("[]object", "What would be otherwise: field, before, after."),
        "served_by": ("[]object", "Who calls would go to: provider, model (its name here), listed."),
        "card": ("?object", "The whole card as it would be; null when it has faults."),
        "forms": ("?object", "By protocol: every parameter a request could have."),
    },
    "Error": {
        "type": ("string", "error"),
        "error": ("$ErrorDetail", "What went wrong."),
        "request_id": ("string", "Also in the headers; the operator's log has it."),
    },
    "ErrorDetail": {
        "type": ("string", "Anthropic's word for the kind."),
        "message": ("string", "What was received, and what would be right."),
        "param": ("?string", "The field at fault."),
        "code": ("?string", "OpenAI's word for the kind."),
        "details": ("object", "More, where there is more: every violation, Anthropic's error_code."),
    },
}


OBJECTS |= USAGE_OBJECTS
OBJECTS["Transaction"] = {
    **OBJECTS["Movement"],
    "type": ("string", "top_up, voucher, refund, withdrawal, charge, estimate, void, overrun or return."),
    "direction": ("string", "in, out, or none: what it cost beyond its hold is not the account's to pay."),
    "change_usd": ("string", "What it did to the balance: below 0, it went out."),
    "change_nano_usd": ("integer", "The same in nano-dollars."),
    "reference_id": ("?string", "The call's request id, the charge that is given back, or the voucher."),
    "key_id": ("?string", "Whose call it was."),
    "key_name": ("?string", "What that key is called."),
    "member_id": ("?string", "Whose key that is."),
    "member_name": ("?string", "What they are called."),
    "model": ("?string", "The configured model's id."),
    "price_version": ("?string", "The price it was reckoned by; null: none was known."),
}
OBJECTS["Statement"] = {
    **OBJECTS["Account"],
    "balance_usd": ("string", "Put in less charged; below 0: owed."),
    "credit_usd": ("string", "Put in."),
    "spent_usd": ("string", "Charged."),
    "held_usd": ("string", "Set aside for calls under way."),
    "available_usd": ("?string", "What may still be spent; null: no limit."),
}


OBJECTS["Balance"] = {
    **OBJECTS["Statement"],
    "object": ("string", "balance"),
    "budgets": ("[]$Budget", "Where they stand; for an API key, those that limit it."),
}


def schemas() -> dict[str, Schema]:
    """Every object as a component of OpenAPI."""
    made = {name: _object(rows) for name, rows in OBJECTS.items()}
    properties = made["ErrorDetail"]["properties"]
    properties["type"]["enum"] = sorted({kind.type for kind in KINDS.values()})
    return made


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def operation_id(method: str, path: str) -> str:
    """`get_v1_models_id`: unlike that of every other operation."""
    return "_".join((method.lower(), *re.findall(r"[a-z0-9_]+", path)))


def failures(*, inference: bool) -> dict[str, Any]:
    """Every status with which an operation may fail."""
    statuses = (*_BEFORE, *_WITH_A_PROVIDER) if inference else _BEFORE
    content = {"application/json": {"schema": reference("Error")}}
    return {
        str(status): {
            "description": ", ".join(sorted({kind.code for kind in KINDS.values() if kind.status == status})),
            "content": content,
        }
        for status in statuses
    }


def _object(rows: dict[str, Row]) -> Schema:
    return {
        "type": "object",
        "properties": {name: {**_typed(kind), "description": says} for name, (kind, says) in rows.items()},
    }


def _typed(kind: str) -> Schema:
    if kind.startswith("[]"):
        return {"type": "array", "items": _typed(kind[2:])}
    if kind.startswith("$"):
        return reference(kind[1:])
    if kind.startswith("?"):
        return {"type": [kind[1:], "null"]}
    return {"type": kind} if kind else {}
