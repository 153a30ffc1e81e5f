"""Bring a business database to this program's version, at start, in one transaction."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from gateway.core.errors import FixInstallation, TryLater
from gateway.storage.engine import Database
from gateway.storage.errors import translated

FOLDER = Path(__file__).parent / "migrations"

# Any number that no other program uses on the same PostgreSQL server.
_ADVISORY_LOCK = 7_215_903_114


WAIT_S = 30.0
"""How long another program may take that is at it already; SQLite itself waits less for a lock."""


async def migrate(database: Database) -> None:
    """Create or upgrade the tables. Whoever comes second waits and finds the work done.

    Raises FixInstallation when a newer program has already changed the database, and as
    ``Database.writing``.
    """
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            return await _migrate_once(database)
        except TryLater:
            if not database.is_sqlite or time.monotonic() >= until_s:
                raise
            await asyncio.sleep(0.1)


async def _migrate_once(database: Database) -> None:
    try:
        async with database.engine.begin() as connection:
            if not database.is_sqlite:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            await connection.run_sync(_upgrade, database.shown)
    except Exception as err:
        ours = translated(err, database.shown)
        if ours is None:
            raise
        raise ours from err


def _upgrade(connection: Connection, shown: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    present = MigrationContext.configure(connection).get_current_heads()
    if not set(present) <= known:
        raise FixInstallation(
            f"database {shown} is of a newer version ({', '.join(present)}) than this program "
            f"({script.get_current_head()}): install the newer pilegate, or restore a backup"
        )
    if present != tuple(script.get_heads()):
        command.upgrade(config, "head")
