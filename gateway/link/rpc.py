"""JSON-RPC 2.0 on a line: reading requests, writing answers, and errors both ways.

One message is one line of UTF-8 that ends in a newline. Everything here is pure. Every
error carries ``data`` with a stable ``code``, and where they help ``field`` and
``retry_after_s``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    NotKnown,
    PilegateError,
    Refused,
    TryLater,
)

LONGEST_REQUEST_BYTES = 64 * 1024
"""One line towards the guard, its newline included."""
LONGEST_ANSWER_BYTES = 4 * 1024 * 1024
"""One line from the guard: a page of outlets is 200 kB, the metrics of a large site 1 MB."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
NOT_KNOWN = -32001
REFUSED = -32002
NOT_ALLOWED = -32003
TRY_LATER = -32004

_LARGEST_ID = 2**53

RequestId = str | int | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its parameters still as they came."""

    id: RequestId
    method: str
    params: object


class BadRequest(CorrectInput):
    """A line that is not a request; holds the id if it could be read."""

    def __init__(self, message: str, *, code: int, id: RequestId = None, field: str = "") -> None:  # noqa: A002 - JSON-RPC's word
        super().__init__(message, field=field)
        self.code = code
        self.id = id


def dump(value: object) -> bytes:
    """Write one JSON value without needless spaces, in ASCII, without a newline.

    Raises ValueError for what JSON can't say (NaN, infinity).
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _no_double(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands there twice")
    return fields


def parse(line: bytes) -> object:
    """Read one line of JSON.

    Raises BadRequest for bytes that are not UTF-8, for what is not JSON, for fields that
    stand twice, for numbers without end and for nesting without end.
    """
    try:
        return json.loads(
            line.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_double
        )
    except UnicodeDecodeError:
        raise BadRequest("the line is not UTF-8", code=PARSE_ERROR) from None
    except ValueError as err:
        raise BadRequest(f"the line is not JSON: {_first_line(err)}", code=PARSE_ERROR) from None
    except RecursionError:
        raise BadRequest("the line nests too deep", code=PARSE_ERROR) from None


def _first_line(err: Exception) -> str:
    return str(err).partition("\n")[0][:120]


def parse_request(line: bytes) -> Request:
    """Read one request. Raises BadRequest, with the request's id where it has one."""
    value = parse(line)
    if not isinstance(value, dict):
        raise BadRequest("a request is one JSON object on a line", code=INVALID_REQUEST)
    request_id = value.get("id")
    if not _is_id(request_id):
        raise BadRequest(
            "id: must be a text of 1 to 128 characters or a whole number",
            code=INVALID_REQUEST,
            field="id",
        )

    def bad(field: str, problem: str) -> BadRequest:
        return BadRequest(f"{field}: {problem}", code=INVALID_REQUEST, id=request_id, field=field)

    if value.get("jsonrpc") != "2.0":
        raise bad("jsonrpc", 'must be "2.0"')
    method = value.get("method")
    if not isinstance(method, str) or not 1 <= len(method) <= 64:
        raise bad("method", "must be a text of 1 to 64 characters")
    for name in value:
        if name not in ("jsonrpc", "id", "method", "params"):
            raise bad(name[:60], "is not known here")
    return Request(request_id, method, value.get("params", {}))


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return 1 <= len(value) <= 128
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID


def request_line(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    """Write a request with its newline."""
    body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    return dump(body) + b"\n"


def answer_line(request_id: RequestId, result: bytes) -> bytes:
    """Write an answer with its newline around a result that is JSON already."""
    return b'{"jsonrpc":"2.0","id":' + dump(request_id) + b',"result":' + result + b"}\n"


def notice_line(method: str, params: bytes) -> bytes:
    """Write a notification with its newline around parameters that are JSON already."""
    return b'{"jsonrpc":"2.0","method":' + dump(method) + b',"params":' + params + b"}\n"


def error_line(request_id: RequestId, error: PilegateError) -> bytes:
    """Write an error with its newline."""
    body = {"jsonrpc": "2.0", "id": request_id, "error": error_to_json(error)}
    return dump(body) + b"\n"


def internal_error_line(request_id: RequestId) -> bytes:
    """Write the error for what should not have happened; the log says what it was."""
    error = {
        "code": INTERNAL,
        "message": "the guard failed at this request; its log says why",
        "data": {"code": "internal"},
    }
    return dump({"jsonrpc": "2.0", "id": request_id, "error": error}) + b"\n"


def error_to_json(error: PilegateError) -> dict[str, Any]:
    """Write an error as JSON-RPC's object, with ``data``."""
    code, data = _classify(error)
    return {"code": code, "message": str(error), "data": data}


def _classify(error: PilegateError) -> tuple[int, dict[str, Any]]:
    match error:
        case BadRequest():
            words = {PARSE_ERROR: "parse", INVALID_REQUEST: "invalid_request"}
            data = {"code": words.get(error.code, "unknown_method")}
            return error.code, {**data, "field": error.field} if error.field else data
        case CorrectInput():
            return INVALID_PARAMS, {"code": "invalid", "field": error.field}
        case NotKnown():
            return NOT_KNOWN, {"code": "not_known"}
        case Refused():
            return REFUSED, {"code": error.code}
        case NotAllowed():
            return NOT_ALLOWED, {"code": "not_allowed"}
        case TryLater():
            return TRY_LATER, {"code": "try_later", "retry_after_s": error.retry_after_s}
        case _:
            return INTERNAL, {"code": "installation"}


def error_from_json(value: object) -> PilegateError:
    """Make the error that an answer's ``error`` speaks of."""
    fields = value if isinstance(value, dict) else {}
    data = fields.get("data")
    data = data if isinstance(data, dict) else {}
    message = str(fields.get("message", "the guard answered an error without a message"))
    match fields.get("code"):
        case code if code in (PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS):
            return CorrectInput(message, field=str(data.get("field", "")))
        case code if code == NOT_KNOWN:
            return NotKnown(message)
        case code if code == REFUSED:
            return Refused(message, code=str(data.get("code", "refused")))
        case code if code == NOT_ALLOWED:
            return NotAllowed(message)
        case code if code == TRY_LATER:
            wait_s = data.get("retry_after_s")
            return TryLater(message, retry_after_s=wait_s if isinstance(wait_s, int | float) else 1)
        case _:
            return FixInstallation(message)
