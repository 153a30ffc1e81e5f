"""Tokens: who may use the API. Random, shown once, kept as hashes; no default password."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import func, select, update

from gateway.core.clock import Clock, SystemClock, TimeQuality
from gateway.core.errors import CorrectInput, NotKnown, PilegateError, Refused, TryLater
from gateway.core.ids import is_name
from gateway.serve.tables import TokenRow
from gateway.storage.engine import Database, open_database, resolve_url
from gateway.storage.migrate import migrate

PREFIX = "pg_"
"""A token that lies where it should not is found by it."""

TRUSTED_FOR_MS = 2_000
"""How long a token is trusted before it is looked up again: a revoked one lives no longer."""

MOST_REMEMBERED = 1_000

LOOKUPS_AT_ONCE = 2
"""Connections that lookups may take: who guesses tokens must not take them from all others."""

NOTE_USE_S = 30.0
"""How often the times of last use are written down."""

log = logging.getLogger(__name__)


class Role(StrEnum):
    """What a token's holder may do; each role may also do what those before it may."""

    VIEWER = "viewer"
    """Read."""
    OPERATOR = "operator"
    """Give commands."""
    ADMIN = "admin"
    """See and revoke tokens."""

    def may(self, needed: Role) -> bool:
        return _RANK[self] >= _RANK[needed]


_RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    token_id: int
    name: str
    role: Role

    @property
    def actor(self) -> str:
        """How the caller is called in commands and facts."""
        return f"api:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token as it may be shown: everything but the token."""

    name: str
    role: Role
    created_utc_ms: int
    expires_utc_ms: int | None
    revoked_utc_ms: int | None
    last_used_utc_ms: int | None


def hash_of(token: str) -> str:
    """SHA-256 in hex. 256 random bits need no salt and no slow hash: they can't be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_token() -> str:
    """Make a token: the prefix and 32 random bytes in URL-safe base 64, 46 characters."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode("ascii")


async def create_token(
    database_url: str,
    name: str,
    role: str,
    expires_utc_ms: int | None = None,
    *,
    folder: Path = Path(),
) -> str:
    """Make a token and return it; it can't be shown again.

    ``folder`` is where a relative SQLite file lies (the state directory). The database is
    made if there is none yet. Raises CorrectInput for a name or role that can't be, Refused
    for a name that is taken, and what ``Database.writing`` raises.
    """
    if role not in list(Role):
        raise CorrectInput(f"no role {role!r}: use {', '.join(Role)}", field="role")
    async with _opened(database_url, folder) as database:
        return await add_token(database, SystemClock(), name, Role(role), expires_utc_ms)


async def list_tokens(database_url: str, *, folder: Path = Path()) -> list[TokenView]:
    """List all tokens, also those that are over. Raises what ``Database.reading`` raises."""
    async with _opened(database_url, folder) as database:
        return await read_tokens(database)


async def revoke_token(database_url: str, name: str, *, folder: Path = Path()) -> None:
    """End a token. Raises NotKnown, and what ``Database.writing`` raises."""
    async with _opened(database_url, folder) as database:
        await end_token(database, SystemClock(), name)


async def add_token(
    database: Database, clock: Clock, name: str, role: Role, expires_utc_ms: int | None
) -> str:
    """Make a token in an open database and return it. Raises as ``create_token``."""
    if not is_name(name):
        raise CorrectInput(
            f"{name!r} can't be a token's name: write lower-case letters, digits, '.', '_', '-'",
            field="name",
        )
    now = clock.now()
    now_utc_ms = now.utc_ms
    if expires_utc_ms is not None and now.quality is TimeQuality.UNSET:
        raise TryLater("the clock of this machine is not set: set it, or let the token last")
    if expires_utc_ms is not None and expires_utc_ms <= now_utc_ms:
        raise CorrectInput("the token would be over already", field="expires")
    token = new_token()
    async with database.writing() as session:
        taken = await session.scalar(select(TokenRow.id).where(TokenRow.name == name))
        if taken is not None:
            raise Refused(f"a token named {name!r} exists: choose another name", code="name_taken")
        last = await session.scalar(select(func.max(TokenRow.id)))
        session.add(
            TokenRow(
                id=(last or 0) + 1,
                name=name,
                role=role.value,
                hash=hash_of(token),
                created_utc_ms=now_utc_ms,
                expires_utc_ms=expires_utc_ms,
                revoked_utc_ms=None,
                last_used_utc_ms=None,
            )
        )
    return token


async def end_token(database: Database, clock: Clock, name: str) -> None:
    """End a token in an open database. Raises NotKnown."""
    async with database.writing() as session:
        row = await session.scalar(select(TokenRow).where(TokenRow.name == name))
        if row is None:
            raise NotKnown(f"no token named {name!r}: see `pilegate token list`")
        if row.revoked_utc_ms is None:
            row.revoked_utc_ms = clock.now().utc_ms


async def read_tokens(database: Database) -> list[TokenView]:
    """List all tokens of an open database."""
    async with database.reading() as session:
        rows = (await session.scalars(select(TokenRow).order_by(TokenRow.id))).all()
    return [
        TokenView(
            name=row.name,
            role=Role(row.role),
            created_utc_ms=row.created_utc_ms,
            expires_utc_ms=row.expires_utc_ms,
            revoked_utc_ms=row.revoked_utc_ms,
            last_used_utc_ms=row.last_used_utc_ms,
        )
        for row in rows
    ]


@asynccontextmanager
async def _opened(database_url: str, folder: Path) -> AsyncIterator[Database]:
    database = open_database(resolve_url(database_url, folder))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    hash: str
    expires_utc_ms: int | None
    looked_up_ms: int


class Tokens:
    """Looks tokens up for the API, and remembers them for a moment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._looking: dict[str, asyncio.Task[_Known | None]] = {}
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._used: dict[int, int] = {}

    async def caller(self, token: str) -> Caller | None:
        """Say whose token this is; None when it is nobody's, over or revoked."""
        if not token.startswith(PREFIX):
            return None
        hashed = hash_of(token)
        now = self._clock.now()
        known = self._known.get(hashed)
        if known is None or now.mono_ms - known.looked_up_ms > TRUSTED_FOR_MS:
            self._known.pop(hashed, None)
            known = await asyncio.shield(self._looking_up(hashed, now.mono_ms))
            if known is None:
                return None
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[hashed] = known
        if not hmac.compare_digest(known.hash, hashed):
            return None
        if known.expires_utc_ms is not None and (
            known.expires_utc_ms <= now.utc_ms or now.quality is TimeQuality.UNSET
        ):
            # By a clock that starts in 1970 none would ever be over.
            return None
        self._used[known.caller.token_id] = now.utc_ms
        return known.caller

    async def is_good(self, caller: Caller) -> bool:
        """Say whether a caller's token still is good: for what goes on for long."""
        async with self._database.reading() as session:
            row = await session.get(TokenRow, caller.token_id)
        if row is None or row.revoked_utc_ms is not None:
            return False
        return row.expires_utc_ms is None or row.expires_utc_ms > self._clock.now().utc_ms

    async def add(self, name: str, role: Role, expires_utc_ms: int | None) -> str:
        """Make a token and return it. Raises Refused for a name that is taken."""
        return await add_token(self._database, self._clock, name, role, expires_utc_ms)

    async def all(self) -> list[TokenView]:
        """List all tokens."""
        return await read_tokens(self._database)

    async def revoke(self, name: str) -> None:
        """End a token at once. Raises NotKnown."""
        await end_token(self._database, self._clock, name)
        self._known.clear()

    async def run(self) -> None:
        """Write the times of last use down now and then, until cancelled."""
        while True:
            await asyncio.sleep(NOTE_USE_S)
            try:
                await self.note_use()
            except PilegateError as err:
                log.warning("last use of tokens is not written down: %s", err)

    async def note_use(self) -> None:
        """Write the times of last use down."""
        used = dict(self._used)
        if not used:
            return
        async with self._database.writing() as session:
            for token_id, utc_ms in used.items():
                await session.execute(
                    update(TokenRow).where(TokenRow.id == token_id).values(last_used_utc_ms=utc_ms)
                )
        # Only what is written down is forgotten, and not what came meanwhile.
        self._used = {each: at for each, at in self._used.items() if used.get(each) != at}

    def _looking_up(self, hashed: str, now_ms: int) -> asyncio.Task[_Known | None]:
        """Look a token up; whoever comes with the same one meanwhile shares that."""
        task = self._looking.get(hashed)
        if task is None:
            task = asyncio.create_task(self._look_up(hashed, now_ms), name="token-lookup")
            self._looking[hashed] = task
            task.add_done_callback(lambda _: self._looking.pop(hashed))
        return task

    async def _look_up(self, hashed: str, now_ms: int) -> _Known | None:
        async with self._lookups, self._database.reading() as session:
            row = await session.scalar(select(TokenRow).where(TokenRow.hash == hashed))
        if row is None or row.revoked_utc_ms is not None:
            return None
        caller = Caller(row.id, row.name, Role(row.role))
        return _Known(caller, row.hash, row.expires_utc_ms, now_ms)
