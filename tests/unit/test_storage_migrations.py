from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

import gateway.serve.tables  # noqa: F401 - declares the tables
from gateway.core.errors import FixInstallation
from gateway.storage.base import Base
from gateway.storage.engine import open_database, resolve_url
from gateway.storage.migrate import FOLDER, migrate
from tests.support.serving import open_database_in


def test_migrations_make_exactly_the_declared_tables(tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async def main() -> list[object]:
        async with open_database_in(tmp_path) as database, database.engine.begin() as connection:
            return await connection.run_sync(differences)

    assert asyncio.run(main()) == []


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    async def main() -> tuple[object, object]:
        async with open_database_in(tmp_path) as database:
            async with database.reading() as session:
                before = await session.scalar(text("PRAGMA schema_version"))
            await migrate(database)
            async with database.reading() as session:
                return before, await session.scalar(text("PRAGMA schema_version"))

    before, after = asyncio.run(main())
    assert before == after


def test_two_programs_may_start_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        url = resolve_url("sqlite:///serve.db", tmp_path)
        databases = [open_database(url) for _ in range(3)]
        try:
            await asyncio.gather(*(migrate(database) for database in databases))
        finally:
            for database in databases:
                await database.close()

    asyncio.run(main())


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_database_in(tmp_path) as database:
            async with database.writing() as session:
                await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            with pytest.raises(FixInstallation, match=r"newer version \(9999\)") as caught:
                await migrate(database)
            assert "\n" not in str(caught.value)
            async with database.reading() as session:
                assert await session.scalar(text("SELECT version_num FROM alembic_version"))

    asyncio.run(main())


def test_a_step_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of a step and its version are one transaction."""
    source = (FOLDER / "versions" / "0001_first.py").read_text()
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    (broken / "env.py").write_text((FOLDER / "env.py").read_text())
    (broken / "versions" / "0001_first.py").write_text(
        source.replace(
            "    _commands()\n", "    _commands()\n    raise RuntimeError('power cut')\n"
        )
    )
    monkeypatch.setattr("gateway.storage.migrate.FOLDER", broken)

    async def main() -> object:
        database = open_database(resolve_url("sqlite:///serve.db", tmp_path))
        try:
            with pytest.raises(RuntimeError, match="power cut"):
                await migrate(database)
            async with database.reading() as session:
                return await session.scalar(text("SELECT count(*) FROM sqlite_schema"))
        finally:
            await database.close()

    assert asyncio.run(main()) == 0
