"""Tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Input, Name, Output, UtcMs, example

RoleWord = Literal["viewer", "operator", "admin"]

LONGEST_S = 10 * 365 * 86_400


class TokenIn(Input):
    """A token that is to be made."""

    model_config = example(name="reception", role="operator", for_s=2_592_000)

    name: Name = Field(description="Stands in the record of every command given with it.")
    role: RoleWord = Field(
        description="`viewer` reads, `operator` also gives commands, `admin` also handles tokens."
    )
    for_s: float | None = Field(
        None, ge=1, le=LONGEST_S, description="How long it is good for, in seconds; null: for ever."
    )


class TokenMade(Output):
    """A new token, shown this once."""

    model_config = example(name="reception", token="pg_" + "x" * 43)

    name: Name
    token: str = Field(description="Keep it: only its hash is stored.")


_TOKEN = {
    "name": "reception",
    "role": "operator",
    "created_utc_ms": 1_772_580_000_000,
    "expires_utc_ms": None,
    "revoked_utc_ms": None,
    "last_used_utc_ms": 1_772_582_400_000,
}


class TokenOut(Output):
    """A token, without the token itself."""

    model_config = example(**_TOKEN)

    name: Name
    role: RoleWord = Field(description="What its holder may do.")
    created_utc_ms: UtcMs
    expires_utc_ms: int | None = Field(description="UTC, in milliseconds; null: never.")
    revoked_utc_ms: int | None = Field(description="UTC, in milliseconds; null: it is not.")
    last_used_utc_ms: int | None = Field(
        description="UTC, in milliseconds, to about half a minute; null: never."
    )


class TokensOut(Output):
    """All tokens, also those that are over."""

    model_config = example(tokens=[_TOKEN])

    tokens: list[TokenOut] = Field(description="By the order in which they were made.")
