from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.core.errors import FixInstallation, TryLater
from gateway.storage import engine
from gateway.storage.engine import Database, open_database, resolve_url
from tests.support.serving import open_database_in


async def _pragma(database: Database, name: str) -> object:
    async with database.reading() as session:
        return await session.scalar(text(f"PRAGMA {name}"))


def test_sqlite_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    async def main() -> dict[str, object]:
        async with open_database_in(tmp_path) as database:
            names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            return {name: await _pragma(database, name) for name in names}

    full = 2
    assert asyncio.run(main()) == {
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
        "busy_timeout": round(engine.BUSY_TIMEOUT_S * 1000),
    }


def test_a_writer_takes_the_lock_before_it_reads(tmp_path: Path) -> None:
    """A deferred BEGIN would let both read the same state, and one of them fail at its write."""

    async def main() -> None:
        async with open_database_in(tmp_path) as database, database.writing() as session:
            await session.execute(text("SELECT 1"))
            other = sqlite3.connect(tmp_path / "serve.db", timeout=0, isolation_level=None)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            other.close()

    asyncio.run(main())


def test_waiting_to_write_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file locked, each writer gives up in time; those behind it must as well."""
    monkeypatch.setattr(engine, "POOL_WAIT_S", 0.05)

    async def writes(database: Database) -> None:
        async with database.writing() as session:
            await session.execute(text("SELECT 1"))

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            async with database.writing():
                with pytest.raises(TryLater, match="others have waited to write"):
                    await writes(database)
            await writes(database)

    asyncio.run(main())


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    async def main() -> object:
        async with open_database_in(tmp_path) as database, database.writing() as session:
            await session.execute(text("CREATE TABLE t (a INTEGER)"))
            async with asyncio.timeout(30), database.reading() as reader:
                return await reader.scalar(text("SELECT count(*) FROM tokens"))

    assert asyncio.run(main()) == 0


def test_an_error_rolls_back_tables_as_well(tmp_path: Path) -> None:
    async def main() -> object:
        async with open_database_in(tmp_path) as database:

            async def fails() -> None:
                async with database.writing() as session:
                    await session.execute(text("CREATE TABLE t (a INTEGER)"))
                    raise KeyError

            with pytest.raises(KeyError):
                await fails()
            async with database.reading() as session:
                return await session.scalar(
                    text("SELECT count(*) FROM sqlite_schema WHERE name = 't'")
                )

    assert asyncio.run(main()) == 0


def test_many_writers_get_their_turn(tmp_path: Path) -> None:
    async def main() -> object:
        async with open_database_in(tmp_path) as database:
            async with database.writing() as session:
                await session.execute(text("CREATE TABLE n (a INTEGER)"))
                await session.execute(text("INSERT INTO n VALUES (0)"))

            async def add() -> None:
                async with database.writing() as session:
                    found = await session.scalar(text("SELECT a FROM n"))
                    await session.execute(text("UPDATE n SET a = :a"), {"a": (found or 0) + 1})

            await asyncio.gather(*(add() for _ in range(40)))
            async with database.reading() as session:
                return await session.scalar(text("SELECT a FROM n"))

    assert asyncio.run(main()) == 40


def test_a_database_locked_by_another_program_is_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            other = sqlite3.connect(tmp_path / "serve.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TryLater, match=r"serve\.db is locked"):
                async with database.writing() as session:
                    await session.execute(text("SELECT 1"))
            other.close()

    asyncio.run(main())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "serve.db").write_bytes(b"name,amount\n" * 100)

    async def main() -> None:
        async with open_database_in(tmp_path):
            pass

    with pytest.raises(FixInstallation, match=r"serve\.db is not a database: move it away"):
        asyncio.run(main())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FixInstallation, match="can't be created"):
        open_database(resolve_url("sqlite:///serve.db", tmp_path))


def test_a_read_only_database_is_told_in_one_line(tmp_path: Path) -> None:
    """Read-only by SQLite's own means, which also bind root."""

    async def make() -> None:
        async with open_database_in(tmp_path):
            pass

    async def main() -> None:
        url = resolve_url("sqlite:///serve.db", tmp_path)
        uri = url.set(database=f"file:{url.database}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
        database = Database(engine._sqlite(uri))
        try:
            with pytest.raises(FixInstallation, match="can't be written") as caught:
                async with database.writing() as session:
                    await session.execute(text("DELETE FROM tokens"))
            assert "\n" not in str(caught.value)
        finally:
            await database.close()

    asyncio.run(make())
    asyncio.run(main())


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path):
            found.update(_modes(tmp_path))

    found: dict[str, int] = {}
    asyncio.run(main())
    assert set(found) >= {"serve.db", "serve.db-wal"}
    assert set(found.values()) == {0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("text_", "shown"),
    [
        ("sqlite:///serve.db", "sqlite+aiosqlite:////state/serve.db"),
        ("sqlite:////srv/x.db", "sqlite+aiosqlite:////srv/x.db"),
        ("postgresql://me:secret@db/pg", "postgresql+asyncpg://me:***@db/pg"),
    ],
)
def test_addresses_are_resolved(text_: str, shown: str) -> None:
    assert resolve_url(text_, Path("/state")).render_as_string(hide_password=True) == shown


@pytest.mark.parametrize(
    "wrong", ["", "serve.db", "mysql://x/y", "sqlite://", "sqlite:///:memory:"]
)
def test_other_addresses_are_refused(wrong: str) -> None:
    with pytest.raises(FixInstallation, match=r"serve\.database"):
        resolve_url(wrong, Path("/state"))


def test_what_is_no_file_is_told_before_anything_is_connected(tmp_path: Path) -> None:
    (tmp_path / "serve.db").mkdir()
    with pytest.raises(FixInstallation) as caught:
        open_database(resolve_url("sqlite:///serve.db", tmp_path))
    assert str(caught.value) == (
        f"database {tmp_path}/serve.db can't be opened: Is a directory: give it back to this "
        "user, or correct serve.database"
    )


def test_a_database_is_named_by_its_file(tmp_path: Path) -> None:
    database = open_database(resolve_url("sqlite:///serve.db", tmp_path))
    assert database.shown == f"{tmp_path}/serve.db"
    asyncio.run(database.close())
