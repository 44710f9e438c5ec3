"""The description of the HTTP server's paths in OpenAPI 3.1."""

from typing import Any

from gigacast.feature_store.serve.exchange import STATUS, Limits

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": sorted(STATUS.keys() - {"ok"})},
                "message": {"type": "string"},
            },
        }
    },
}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_AGE = {"type": ["integer", "null"], "description": "Milliseconds before the moment."}
_RESULT = {
    "type": "object",
    "required": ["status", "keys", "at", "values", "errors", "codes"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "partial", "failed"]},
        "keys": {"type": "object"},
        "at": {"type": "integer", "description": "Moment, epoch milliseconds."},
        "values": {"type": "object", "description": "Features by name."},
        "errors": {**_TEXTS, "description": "Messages by part; empty name for the whole answer."},
        "codes": {**_TEXTS, "description": "Reasons of the errors in a word, by part."},
        "batch_age_ms": _AGE,
        "freshness_ms": _AGE,
    },
}
_REPLY = {
    "type": "object",
    "required": ["name", "results"],
    "properties": {
        "name": {"type": "string"},
        "results": {"type": "array", "items": {"$ref": "#/components/schemas/Result"}},
    },
}
_REFUSALS = {
    "400": "The body is no question.",
    "401": "The token is missing or wrong.",
    "404": "Nothing of that name is served.",
    "413": "The body or the number of keys is too large.",
    "500": "A fault of the server.",
    "503": "The store cannot be reached, or too many requests at a time.",
    "504": "No answer in time.",
}


def describe_api(limits: Limits, is_guarded: bool) -> dict[str, Any]:
    """Return the description of the server as plain values.

    Parameters
    ----------
    limits : Limits
    is_guarded : bool
        Whether callers must bring a token.
    """
    paths: dict[str, Any] = {
        f"/v1/features/{kind}/{{name}}": {"post": _question(kind, limits)}
        for kind in ("join", "group-by")
    }
    for path, summary in (
        ("/ping", "Whether the server runs."),
        ("/config", "What is served: definitions, columns, batches."),
        ("/metrics", "Measurements for Prometheus."),
    ):
        paths[path] = {"get": {"summary": summary, "responses": {"200": {"description": "ok"}}}}
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Gigacast features", "version": "1"},
        "paths": paths,
        "components": {"schemas": {"Reply": _REPLY, "Result": _RESULT, "Error": _ERROR}},
    }
    if is_guarded:
        content["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        content["security"] = [{"bearer": []}]
        paths["/ping"]["get"]["security"] = []
    return content


def _question(kind: str, limits: Limits) -> dict[str, Any]:
    keys = {"type": "array", "maxItems": limits.items, "items": {"type": "object"}}
    moment = {"type": "integer", "description": "Epoch milliseconds; now by default."}
    body = {
        "oneOf": [
            keys,
            {
                "type": "object",
                "required": ["keys"],
                "properties": {"keys": keys, "at": moment},
                "additionalProperties": False,
            },
        ]
    }
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    reply = {"application/json": {"schema": {"$ref": "#/components/schemas/Reply"}}}
    return {
        "summary": f"Features of keys of a {kind}.",
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "A result for each entity, in order.", "content": reply},
            **{
                status: {"description": text, "content": error}
                for status, text in _REFUSALS.items()
            },
        },
    }
