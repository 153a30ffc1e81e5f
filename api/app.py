"""The API as an ASGI application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from api import problems
from api.dependencies import Services
from api.edge import Edge
from api.routes import (
    buses,
    circuits,
    commands,
    events,
    flights,
    groups,
    interlocks,
    operations,
    outlets,
    tokens,
)

DESCRIPTION = """\
What one gateway's charging outlets do, and commands for them.

Names carry units: `power_w` is in W, `energy_mwh` in mWh, `for_s` in seconds, `utc_ms` in
milliseconds of UTC since 1970. A value that was never measured is null. Every error is a
problem document (RFC 9457) with a stable `code`. Lists come in pages; `next` leads on. A
parameter or field that is not known is an error.
"""

TAGS = [
    {"name": "outlets", "description": "What outlets do now, and what they did."},
    {"name": "groups", "description": "Stations and piles."},
    {"name": "interlocks", "description": "Detectors and emergency stops that open outlets."},
    {"name": "circuits", "description": "Feeds: what they carry, who waits, contactors."},
    {"name": "commands", "description": "On, off, reset, lock and unlock, with their verdicts."},
    {"name": "events", "description": "What happened, in order, once each."},
    {"name": "flights", "description": "Samples before and after ends, cut-offs and alarms."},
    {"name": "buses", "description": "Lines, connections and devices."},
    {"name": "tokens", "description": "Who may use the API; for admins."},
    {"name": "operations", "description": "Health, readiness and figures."},
]

ROOMS = (
    outlets,
    groups,
    circuits,
    interlocks,
    commands,
    events,
    flights,
    buses,
    tokens,
    operations,
)


class _App(FastAPI):
    """FastAPI, whose document says of problems that they are problems and nothing else."""

    def openapi(self) -> dict[str, Any]:
        """Write the OpenAPI document, once."""
        made = self.openapi_schema is not None
        document = super().openapi()
        if not made:
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"]["default"] = problems.ANY
                    for response in operation["responses"].values():
                        content = response.get("content", {})
                        if problems.MEDIA_TYPE in content:
                            content.pop("application/json", None)
        return document


def make_app(services: Services) -> ASGIApp:
    """Make the whole application, with its outer edge."""
    return Edge(make_inner_app(services), services)


def make_inner_app(services: Services) -> FastAPI:
    """Make the application without its edge; it holds the OpenAPI document."""
    app = _App(
        title="pilegate",
        summary="Charging outlets: state, commands, events",
        description=DESCRIPTION,
        version=services.version,
        openapi_tags=TAGS,
        # The pages that show the document would be loaded from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    for room in ROOMS:
        app.include_router(room.router)
    app.state.paths = _paths(app)
    return app


def _paths(app: FastAPI) -> list[Route]:
    """Give every route there is; FastAPI keeps those of a router inside of it."""
    routes = [*app.routes, *(route for room in ROOMS for route in room.router.routes)]
    return [route for route in routes if isinstance(route, Route)]
