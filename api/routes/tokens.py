"""Tokens, for admins: the first one is made on the machine itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, status

from api.bodies import StrictRoute
from api.dependencies import Admin, NoQuery, Serving
from api.problems import responses
from api.schemas.common import Name
from api.schemas.tokens import TokenIn, TokenMade, TokenOut, TokensOut
from gateway.serve.tokens import Role

router = APIRouter(tags=["tokens"], dependencies=[NoQuery], route_class=StrictRoute)


@router.get(
    "/v1/tokens",
    operation_id="listTokens",
    summary="List tokens, without the tokens themselves",
    responses=responses(401, 403, 422, 503),
)
async def list_tokens(services: Serving, _caller: Admin) -> TokensOut:
    """Who may use the API, and when they last did."""
    return TokensOut(tokens=[TokenOut(**asdict(view)) for view in await services.tokens.all()])


@router.post(
    "/v1/tokens",
    operation_id="makeToken",
    summary="Make a token",
    status_code=status.HTTP_201_CREATED,
    responses=responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
)
async def make_token(services: Serving, _caller: Admin, body: TokenIn) -> TokenMade:
    """Make a token and show it, this once."""
    expires_utc_ms = None
    if body.for_s is not None:
        expires_utc_ms = services.clock.now().utc_ms + round(body.for_s * 1000)
    token = await services.tokens.add(body.name, Role(body.role), expires_utc_ms)
    return TokenMade(name=body.name, token=token)


@router.delete(
    "/v1/tokens/{name}",
    operation_id="revokeToken",
    summary="Revoke a token",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=responses(401, 403, 404, 422, 503),
)
async def revoke_token(
    services: Serving, _caller: Admin, name: Annotated[Name, Path(description="Its name.")]
) -> None:
    """End a token at once; its name stays taken, so that the record stays clear."""
    await services.tokens.revoke(name)
