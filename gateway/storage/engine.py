"""The engine: one way to open, read and write, for SQLite and for PostgreSQL.

A use case is one transaction: ``async with database.writing() as session: ...``. SQLite gets
WAL, ``synchronous=FULL`` and ``BEGIN IMMEDIATE``: a transaction that reads first and writes
then would otherwise fail in the middle when another one wrote in between. The driver's own
way to begin is off, as SQLAlchemy's documentation of the dialect asks ("Transactions with
SQLite and the sqlite3 driver").
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from gateway.core.errors import FixInstallation, TryLater
from gateway.storage.errors import translated

BUSY_TIMEOUT_S = 5.0
"""How long a connection waits for another program's lock."""

POOL_WAIT_S = 5.0
"""How long a use case waits for a free connection."""

POOL_SIZE = 5

_BEGIN = "pilegate_begin"

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


class Database:
    """An open business database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.shown = (
            str(engine.url.database)
            if self.is_sqlite
            else engine.url.render_as_string(hide_password=True)
        )
        """Its file or its address for people, without the password."""
        self._write = async_sessionmaker(engine, expire_on_commit=False)
        reader = engine.execution_options(**{_BEGIN: "BEGIN"})
        self._read = async_sessionmaker(reader, expire_on_commit=False)
        # SQLite has one writer: waiting here costs nothing, waiting in the file polls.
        self._writer = asyncio.Semaphore(1 if self.is_sqlite else POOL_SIZE)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """One transaction that writes: committed at the end, rolled back on any error.

        Raises TryLater (locked, busy) and FixInstallation (read-only, full, unreachable).
        """
        async with self._turn(), self._told(), self._write.begin() as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """One transaction that only reads, from one moment's state. Raises as ``writing``."""
        async with self._told(), self._read.begin() as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait to be the one that writes: while the file is locked, everyone before waits too."""
        try:
            async with asyncio.timeout(POOL_WAIT_S):
                await self._writer.acquire()
        except TimeoutError:
            raise TryLater(
                f"database {self.shown}: others have waited to write for {POOL_WAIT_S:g} s: "
                "another program may hold it; try again"
            ) from None
        try:
            yield
        finally:
            self._writer.release()

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception as err:
            ours = translated(err, self.shown)
            if ours is None:
                raise
            raise ours from err


def resolve_url(text: str, folder: Path) -> URL:
    """Read ``serve.database``; a relative SQLite file lies in ``folder``.

    ``sqlite:///serve.db``, ``sqlite:////var/lib/x.db`` and ``postgresql://user@host/name``
    are understood; the driver is added here. Raises FixInstallation for anything else.
    """
    try:
        url = make_url(text)
    except ArgumentError as err:
        raise FixInstallation(
            "serve.database is not an address: write sqlite:///serve.db or "
            "postgresql://user@host/name"
        ) from err
    backend = url.get_backend_name()
    if backend not in _DRIVERS:
        raise FixInstallation(
            f"serve.database: {backend} is not supported: use sqlite or postgresql"
        )
    url = url.set(drivername=_DRIVERS[backend])
    if backend != "sqlite":
        return url
    if not url.database or url.database == ":memory:":
        raise FixInstallation(
            "serve.database: sqlite needs a file, so that a restart finds everything again: "
            "write sqlite:///serve.db"
        )
    return url.set(database=str(folder / url.database))


def open_database(url: URL) -> Database:
    """Make the engine; nothing is connected yet. Raises FixInstallation without the driver."""
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        _create_private(Path(url.database))
        return Database(_sqlite(url))
    try:
        engine = create_async_engine(
            url, pool_size=POOL_SIZE, pool_timeout=POOL_WAIT_S, pool_pre_ping=True
        )
    except ModuleNotFoundError as err:
        raise FixInstallation(
            "PostgreSQL needs its driver: install pilegate with the extra 'postgres'"
        ) from err
    return Database(engine)


def _sqlite(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _create_private(path: Path) -> None:
    """Create the file for this user alone; when root does it, for the owner of its folder.

    ``pilegate token create`` run by root must not leave a file that the service can't write.
    SQLite gives its side files the same owner and mode.
    """
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except FileExistsError:
        _try_to_open(path)
    except OSError as err:
        raise FixInstallation(
            f"database {path} can't be created: {err.strerror}: make its folder exist and be "
            "writable for this user"
        ) from err


def _try_to_open(path: Path) -> None:
    """Open an existing file as SQLite will. Raises FixInstallation where it can't.

    A connection that fails is not left to aiosqlite: its thread complains at length when the
    program, having said what is wrong, has ended its loop.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as err:
        raise FixInstallation(
            f"database {path} can't be opened: {err.strerror}: give it back to this user, or "
            "correct serve.database"
        ) from err


def _prepare(dbapi_connection: DBAPIConnection, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE"))
