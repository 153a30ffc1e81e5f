"""serve as a process: it is killed at any moment, stops in order, and says in one line what
is wrong with the machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from gateway.core.facts import FactKind
from gateway.guard.journal_entry import Entry
from gateway.serve.tokens import create_token
from tests.support.fake_guard import FakeGuard
from tests.support.shed import small_site

URL = "sqlite:///serve.db"
OFF = {"action": "off", "target": {"kind": "site", "id": "shed"}, "reason": "a test"}


async def _start(folder: Path, listen: str = "127.0.0.1:0") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.support.serve_child",
        str(folder),
        listen,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await _start(folder)
    try:
        yield process, await _address(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def test_killed_at_any_moment_each_fact_has_its_effect_once(tmp_path: Path) -> None:
    """Facts come all the time and commands too; serve is killed again and again."""
    rng = random.Random(7)

    async def main() -> None:
        token = await create_token(URL, "op", "operator", folder=tmp_path)
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        written = 0

        async def write() -> None:
            nonlocal written
            while True:
                await guard.fact(FactKind.OUTLET_ALARM, "n1-1", n=written)
                written += 1
                await asyncio.sleep(0.001)

        async with asyncio.timeout(100), guard.running():
            writing = asyncio.create_task(write())
            for _ in range(4):
                process = await _start(tmp_path)
                headers = {"Authorization": f"Bearer {token}"}
                address = await _address(process)
                await asyncio.sleep(rng.random() * 0.3)
                async with httpx.AsyncClient(base_url=address, headers=headers) as client:
                    posts = [
                        asyncio.create_task(client.post("/v1/commands", json=OFF)) for _ in range(3)
                    ]
                    await asyncio.sleep(rng.random() * 0.05)
                    process.kill()
                    await asyncio.gather(*posts, return_exceptions=True)
                await process.communicate()
            writing.cancel()
            await asyncio.wait([writing])
            async with _running(tmp_path):
                while _open(tmp_path):
                    await asyncio.sleep(0.05)
                # What was on its way when it was cancelled is in the journal after this.
                await guard.journal.put_urgent(Entry()).durable()
                while _count(tmp_path) < guard.journal.last_seq:
                    await asyncio.sleep(0.05)
        _check(tmp_path, guard.journal.last_seq, written)

    asyncio.run(main())


def _ask(folder: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "serve.db")) as db:
        return db.execute(query).fetchall()


def _count(folder: Path) -> int:
    [[count]] = _ask(folder, "SELECT count(*) FROM events")
    assert isinstance(count, int)
    return count


def _open(folder: Path) -> bool:
    return bool(_ask(folder, "SELECT 1 FROM commands WHERE finished_utc_ms IS NULL"))


def _check(folder: Path, last_seq: int, written: int) -> None:
    rows = _ask(folder, "SELECT position, seq, id FROM events ORDER BY position")
    assert [row[0] for row in rows] == list(range(1, last_seq + 1))
    assert [row[1] for row in rows] == list(range(1, last_seq + 1))
    assert len({row[2] for row in rows}) == last_seq
    numbers = _ask(
        folder,
        "SELECT json_extract(data, '$.n') FROM events WHERE kind = 'outlet.alarm'"
        " ORDER BY position",
    )
    assert [row[0] for row in numbers][:written] == list(range(written))
    states = _ask(folder, "SELECT DISTINCT state FROM commands")
    assert {row[0] for row in states} <= {"succeeded"}


def test_it_stops_in_order_with_a_stream_open(tmp_path: Path) -> None:
    async def main() -> None:
        token = await create_token(URL, "op", "operator", folder=tmp_path)
        headers = {"Authorization": f"Bearer {token}"}
        async with _running(tmp_path) as (process, address):
            client = httpx.AsyncClient(base_url=address, headers=headers, timeout=20)
            async with client, client.stream("GET", "/v1/events/stream") as stream:
                pieces = stream.aiter_text()
                assert await anext(pieces) == "retry: 2000\n\n"
                process.terminate()
                async with asyncio.timeout(30):
                    assert [piece async for piece in pieces] == []
            status, errors = await _end(process)
            assert status == 0
            assert "Traceback" not in errors

    asyncio.run(main())


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            process = await _start(tmp_path, listen)
            status, errors = await _wait(process)
        assert status == 1
        assert errors == f"{listen} is taken: stop the other program or set serve.listen\n"

    asyncio.run(main())


async def _wait(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


def test_a_database_of_a_newer_program_is_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        await create_token(URL, "op", "operator", folder=tmp_path)
        with contextlib.closing(sqlite3.connect(tmp_path / "serve.db")) as db:
            db.execute("UPDATE alembic_version SET version_num = '9999'")
            db.commit()
        status, errors = await _wait(await _start(tmp_path))
        assert status == 1
        assert "newer version (9999)" in errors
        assert errors.count("\n") == 1

    asyncio.run(main())


def test_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        small_site(tmp_path)
        (tmp_path / "serve.db").mkdir()
        status, errors = await _wait(await _start(tmp_path))
        assert status == 1
        assert errors.count("\n") == 1
        assert "serve.db" in errors

    asyncio.run(main())


def test_it_can_be_interrupted_while_it_starts(tmp_path: Path) -> None:
    async def main() -> None:
        process = await _start(tmp_path)
        await _address(process)
        os.kill(process.pid, signal.SIGINT)
        status, errors = await _wait(process)
        assert status == 0
        assert "Traceback" not in errors

    asyncio.run(main())
