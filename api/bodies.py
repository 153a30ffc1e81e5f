"""Bodies are JSON as RFC 8259 has it, and mean one thing: UTF-8, no name twice, no NaN."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

LONGEST_NAME = 60


class StrictRoute(APIRoute):
    """A route whose body is read here: Python's reader lets the last of two equal names win."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


def read_json(body: bytes) -> object:
    """Read a body. A byte order mark is passed over. Raises JSONDecodeError."""
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except JSONDecodeError:
        raise
    except UnicodeDecodeError as err:
        raise JSONDecodeError("it is not in UTF-8", "", err.start) from None
    except RecursionError:
        raise JSONDecodeError("it is nested too deeply", "", 0) from None
    except ValueError:
        raise JSONDecodeError("it holds a number that is too long", "", 0) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JSONDecodeError(f"{twice[:LONGEST_NAME]!r} stands twice in one object", "", 0)
    return found


def _no_constant(word: str) -> object:
    raise JSONDecodeError(f"{word} is no JSON", "", 0)
