"""What routes are given: the services, and who is calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer

from api.metrics import Metrics
from api.streams import Streams
from gateway.config.site import Site
from gateway.core.clock import Clock
from gateway.core.errors import NotAllowed
from gateway.serve.commands import Commands
from gateway.serve.events import EventFeed
from gateway.serve.facts import FactTaker
from gateway.serve.inquiries import Inquiries
from gateway.serve.journal import Journal
from gateway.serve.live import LiveOutlets
from gateway.serve.tokens import Caller, Role, Tokens
from gateway.storage.engine import Database

CALLER = "pilegate.caller"
"""Where the edge leaves the caller in the request's scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything the API is made of, wired by serve."""

    version: str
    site: Site
    clock: Clock
    database: Database
    journal: Journal
    tokens: Tokens
    commands: Commands
    taker: FactTaker
    feed: EventFeed
    live: LiveOutlets
    inquiries: Inquiries
    metrics: Metrics
    streams: Streams = field(default_factory=Streams)


bearer = HTTPBearer(
    scheme_name="token",
    description="A token made by `pilegate token create`; sent as `Authorization: Bearer pg_…`.",
    auto_error=False,
)


async def services_of(request: Request) -> Services:
    """Give the services that the app was made with. Async: else a thread would be asked."""
    services: Services = request.app.state.services
    return services


def caller_of(request: Request) -> Caller | None:
    """Give the caller whom the edge has recognised."""
    caller: Caller | None = request.scope.get(CALLER)
    return caller


def require(role: Role) -> Callable[..., Awaitable[Caller]]:
    """Make a dependency that lets in who has at least this role. Raises NotAllowed."""

    async def check(request: Request, _credentials: Annotated[object, Security(bearer)]) -> Caller:
        caller = caller_of(request)
        if caller is None or not caller.role.may(role):
            held = "nobody's" if caller is None else f"role is {caller.role.value}"
            raise NotAllowed(f"this token's {held}: the role {role.value} is needed")
        return caller

    return check


Serving = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]


async def no_query(request: Request) -> None:
    """Refuse what stands behind the question mark where nothing is known."""
    errors = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": ""}
        for name in request.query_params
    ]
    if errors:
        raise RequestValidationError(errors)


NoQuery = Depends(no_query)
