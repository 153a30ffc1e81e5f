"""Every error leaves as an RFC 9457 problem, named by what the caller must do."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from api.schemas.problem import ProblemBody
from gateway.core.errors import (
    CorrectInput,
    NotAllowed,
    NotKnown,
    PilegateError,
    Refused,
    TryLater,
)

MEDIA_TYPE = "application/problem+json"

MOST_FIELD_ERRORS = 20
LONGEST_FIELD = 200

TITLES = {
    400: "The request can't be read",
    401: "A valid token is needed",
    403: "This token may not do that",
    404: "There is no such thing",
    405: "That can't be done here",
    408: "The request took too long to arrive",
    409: "Not in the present state",
    413: "The body is too large",
    415: "The body is of another kind",
    422: "The request is wrong",
    500: "The program failed",
    503: "Not now",
}

CODES = {
    400: "malformed",
    401: "not_authenticated",
    403: "not_allowed",
    404: "not_known",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    500: "internal",
    503: "try_later",
}

_DETAILS = {
    404: "nothing is at this path: see /openapi.json",
    405: "this path does not take that method: see the Allow header",
}

log = logging.getLogger(__name__)


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a problem document. Written in ASCII: whatever a client sent can be shown in it."""
    code = code or CODES.get(status, "failed")
    body: dict[str, Any] = {
        "type": f"urn:pilegate:problem:{code}",
        "title": TITLES.get(status, HTTPStatus(status).phrase),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if errors:
        body["errors"] = list(errors)
    sent = dict(headers or {})
    if retry_after_s is not None:
        body["retry_after_s"] = retry_after_s
        sent["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return Response(json.dumps(body), status, sent, MEDIA_TYPE)


def of_error(err: PilegateError) -> Response:
    """Make the problem that one of our errors is to a client."""
    match err:
        case CorrectInput():
            where, _, field = err.field.partition(":")
            if not field:
                where, field = "body", err.field
            errors = [{"in": where, "field": field, "message": str(err)}]
            return problem(422, f"{field}: {err}", errors=errors)
        case NotKnown():
            return problem(404, str(err))
        case NotAllowed():
            return problem(403, str(err))
        case Refused():
            return problem(409, str(err), code=err.code)
        case TryLater():
            return problem(503, str(err), retry_after_s=err.retry_after_s)
        case _:
            return problem(503, str(err), code="installation", retry_after_s=30.0)


def install(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""
    app.add_exception_handler(PilegateError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_fault)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems an operation may answer with, for the document."""
    return {status: _described(status) for status in statuses}


def _described(status: int) -> dict[str, Any]:
    code = CODES.get(status, "idempotency_key_reused")
    example = {
        "type": f"urn:pilegate:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": _EXAMPLES.get(status, TITLES[status]),
        "code": code,
    }
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        "model": ProblemBody,
        "description": TITLES[status],
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


ANY: dict[str, Any] = {
    "description": "Any other problem: 400 for what is no HTTP, 405, 500 for a fault of the "
    "program, 503 while too many requests are worked on.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
}
"""What every operation may answer with besides the problems of its own, for the document."""

_EXAMPLES = {
    400: "the body is not JSON",
    401: "send the header: Authorization: Bearer pg_...",
    403: "this token's role is viewer: an operator's is needed",
    404: "no outlet 'n9-9': see /v1/outlets",
    405: _DETAILS[405],
    409: "this Idempotency-Key was used with another body: use a new key for a new command",
    413: "the body has more than 65536 bytes",
    415: "send the body as application/json",
    422: "lease.for_s: must be at least 1",
    503: "guard is not running: start it with: pilegate run",
}


async def _of_ours(_request: Request, err: Exception) -> Response:
    assert isinstance(err, PilegateError)
    return of_error(err)


async def _of_http(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)
    detail = _DETAILS.get(err.status_code, str(err.detail))
    if err.status_code == HTTPStatus.BAD_REQUEST:
        detail = "the body can't be read"
    headers = err.headers
    if err.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods_at(request))}
    return problem(err.status_code, detail, headers=headers)


def _methods_at(request: Request) -> list[str]:
    """Name every method the path takes: a route knows only its own, and a path may have two."""
    routes: Sequence[Route] = request.app.state.paths
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in there for method in route.methods or ()})


async def _of_validation(_request: Request, err: Exception) -> Response:
    assert isinstance(err, RequestValidationError)
    found = err.errors()
    if any(error["type"] == "json_invalid" for error in found):
        at, why = found[0]["loc"][-1], found[0]["ctx"]["error"]
        where = f" (see character {at})" if at else ""
        return problem(400, f"the body is not JSON: {why}{where}")
    errors = [_field_error(error) for error in found[:MOST_FIELD_ERRORS]]
    first = errors[0]
    detail = f"{first['field'] or first['in']}: {first['message']}"
    if len(found) > 1:
        detail += f" (and {len(found) - 1} more)"
    return problem(422, detail, errors=errors)


async def _of_fault(request: Request, err: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=err)
    return problem(500, "the program failed at this request; its log says why")


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    where, *path = error["loc"]
    field = ""
    for step in path:
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else str(step)
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        message = "is not known here"
    elif error["type"] == "missing":
        message = "is missing"
    return {"in": str(where), "field": field[:LONGEST_FIELD], "message": message}
