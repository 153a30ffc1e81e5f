"""The same code on PostgreSQL: migrations, facts, commands, tokens. Skipped without the program."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from gateway.core.clock import SystemClock
from gateway.core.errors import FixInstallation, PilegateError, Refused
from gateway.core.facts import FactKind
from gateway.guard.journal import Journal
from gateway.link.journal import journal_path
from gateway.serve.app import Serve
from gateway.serve.commands import Command
from gateway.serve.course import CommandState
from gateway.serve.events import Wanted, read_events
from gateway.serve.tokens import Role
from gateway.storage.base import Base
from gateway.storage.engine import Database, open_database, resolve_url
from gateway.storage.migrate import migrate
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import CALLER, order
from tests.support.shed import small_site


def _find(program: str) -> str | None:
    places = [os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(program, path=os.pathsep.join(places))


pytestmark = pytest.mark.skipif(
    _find("initdb") is None or _find("postgres") is None,
    reason="postgres is not installed: apt install postgresql",
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run a cluster of its own, on a socket file only; give its address."""
    # PostgreSQL refuses to run as root, and its user can't enter pytest's folders.
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, **user)
    options = {**user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    initdb, postgres = _find("initdb"), _find("postgres")
    assert initdb is not None
    assert postgres is not None
    try:
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", "pg", "-A", "trust", "-N", "-E", "UTF8"],
            check=True,
            timeout=100,
            **options,
        )
        process = subprocess.Popen(
            [postgres, "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"],
            **options,
        )
        try:
            url = f"postgresql://pg@/postgres?host={folder}"
            asyncio.run(_until_up(url))
            yield url
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _until_up(url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            database = open_database(resolve_url(url, Path()))
            try:
                async with database.reading() as session:
                    await session.execute(text("SELECT 1"))
            except (PilegateError, DBAPIError):
                await asyncio.sleep(0.1)
            else:
                return
            finally:
                await database.close()


@asynccontextmanager
async def fresh(url: str) -> AsyncIterator[Database]:
    """Give a migrated database without any rows."""
    database = open_database(resolve_url(url, Path()))
    try:
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await migrate(database)
        yield database
    finally:
        await database.close()


def test_migrations_make_exactly_the_declared_tables(server: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))

    async def main() -> None:
        async with fresh(server) as database:
            others = [open_database(resolve_url(server, Path())) for _ in range(2)]
            await asyncio.gather(*(migrate(each) for each in others))
            for each in others:
                await each.close()
            async with database.engine.begin() as connection:
                assert await connection.run_sync(differences) == []

    asyncio.run(main())


def test_a_newer_version_is_left_alone(server: str) -> None:
    async def main() -> None:
        async with fresh(server) as database:
            async with database.writing() as session:
                await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            with pytest.raises(FixInstallation, match=r"newer version \(9999\)"):
                await migrate(database)

    asyncio.run(main())


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("guard.db*"))


def test_facts_and_commands(server: str, tmp_path: Path) -> None:
    async def main() -> None:
        site = small_site(tmp_path)
        guard = FakeGuard(site, tmp_path)
        async with asyncio.timeout(100), fresh(server) as database, guard.running():
            whole = Serve(site, tmp_path, database, SystemClock())
            other = Serve(site, tmp_path, database, SystemClock())
            token = await whole.tokens.add("reception", Role.OPERATOR, None)
            caller = await whole.tokens.caller(token)
            assert caller is not None
            for number in range(20):
                await guard.fact(FactKind.OUTLET_ALARM, "n1-2", n=number)
            taken = await asyncio.gather(whole.taker.take_over(), other.taker.take_over())
            assert sum(taken) == 20
            events, _ = await read_events(database, 0, 1000, Wanted())
            assert [event.position for event in events] == list(range(1, 21))
            assert [event.data["n"] for event in events] == list(range(20))

            await guard.journal.close()
            for path in _files(tmp_path):
                path.unlink()
            guard.journal = Journal(journal_path(tmp_path))
            guard.journal.start()
            guard.journal.subscribe(guard._send_facts)
            await guard.fact(FactKind.OUTLET_ALARM, "n1-2", n=99)
            taken = await asyncio.gather(whole.taker.take_over(), other.taker.take_over())
            assert sum(taken) == 2
            events, _ = await read_events(database, 20, 1000, Wanted())
            assert [event.kind for event in events] == ["journal.replaced", "outlet.alarm"]

            async with asyncio.TaskGroup() as tasks:
                running = whole.start(tasks)
                same: list[Command] = await asyncio.gather(
                    *(whole.commands.submit(order("on"), CALLER, "k") for _ in range(6))
                )
                assert len({command.id for command in same}) == 1
                verdict = await whole.commands.wait(same[0].id, 20)
                assert verdict.state is CommandState.SUCCEEDED
                with pytest.raises(Refused, match="another body"):
                    await whole.commands.submit(order("on", "outlet/n1-3"), CALLER, "k")
                off = await whole.commands.submit(order("off", "site/shed"), CALLER, None)
                assert (await whole.commands.wait(off.id, 20)).state is CommandState.SUCCEEDED
                for task in running:
                    task.cancel()
            views = await whole.tokens.all()
            assert [view.name for view in views] == ["reception"]
            await other.link.close()
            await other.journal.close()
            await whole.link.close()
            await whole.journal.close()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        database = open_database(resolve_url(f"postgresql://pg@/x?host={tmp_path}", Path()))
        try:
            with pytest.raises(FixInstallation, match="start it, or correct") as caught:
                await migrate(database)
            assert "\n" not in str(caught.value)
        finally:
            await database.close()

    asyncio.run(main())


def test_a_database_or_user_that_is_not_there_is_one_line(server: str) -> None:
    async def main() -> None:
        for wrong in (
            server.replace("/postgres?", "/nothing?"),
            server.replace("pg@", "nobody-there@"),
        ):
            database = open_database(resolve_url(wrong, Path()))
            try:
                with pytest.raises(FixInstallation, match="does not exist") as caught:
                    await migrate(database)
                assert "\n" not in str(caught.value)
            finally:
                await database.close()

    asyncio.run(main())
