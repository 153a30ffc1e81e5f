from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.guard.journal import Journal
from gateway.link.journal import journal_path
from gateway.serve.tokens import Role
from tests.support.flights import record_cut_offs
from tests.support.serving import Served, serving


def _run(folder: Path, check: Callable[[Served], Awaitable[None]], *outlets: str) -> None:
    async def main() -> None:
        journal = Journal(journal_path(folder))
        journal.start()
        await record_cut_offs(journal, *outlets)
        async with serving(folder) as served:
            await check(served)

    asyncio.run(main())


async def _get(
    served: Served, path: str, status: int = 200, role: Role | None = Role.VIEWER
) -> Any:
    async with served.client(role) as client:
        response = await client.get(path)
        assert response.status_code == status, response.text
        if response.headers["content-type"].startswith("application/x-ndjson"):
            return [json.loads(line) for line in response.text.splitlines()]
        return response.json()


def test_records_come_in_pages_newest_first(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        first = await _get(served, "/v1/flights?limit=2")
        assert [(row["id"], row["outlet"]) for row in first["flights"]] == [
            (5, "n1-1"),
            (3, "n1-2"),
        ]
        assert first["flights"][0]["kind"] == "outlet.cut"
        rest = await _get(served, f"/v1/flights?limit=2&before={first['next']}")
        assert [row["id"] for row in rest["flights"]] == [1]
        assert rest["next"] is None

    _run(tmp_path, check, "n1-1", "n1-2", "n1-1")


def test_records_are_filtered(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        for query, ids in (
            ("outlet=n1-1", [5, 1]),
            ("outlet=n1-1&kind=outlet.cut&reason=overpower", [5, 1]),
            ("kind=lease.ended", []),
            ("reason=welded", []),
            ("outlet=n9-9", []),
        ):
            found = await _get(served, f"/v1/flights?{query}")
            assert [row["id"] for row in found["flights"]] == ids, query
        for wrong in ("kind=outlet.on", "outlet=N", "reason=A-B", "before=0", "limit=201", "x=1"):
            await _get(served, f"/v1/flights?{wrong}", 422)

    _run(tmp_path, check, "n1-1", "n1-2", "n1-1")


def test_a_record_is_exported_as_lines(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        for number in (3, 4):
            header, *rows = await _get(served, f"/v1/flights/{number}")
            assert (header["pilegate_flight"], header["seq"], header["outlet"]) == (1, 3, "n1-2")
            assert len(rows) == 10
            assert rows[0]["power_w"] == 100.0

    _run(tmp_path, check, "n1-1", "n1-2")


def test_there_is_no_such_record(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        answer = await _get(served, "/v1/flights/99", 404)
        assert "no flight record is about fact 99" in answer["detail"]
        for wrong in ("x", "0", "99999999999999999999"):
            await _get(served, f"/v1/flights/{wrong}", 422)

    _run(tmp_path, check, "n1-1")


def test_a_token_is_needed(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        for path in ("/v1/flights", "/v1/flights/1"):
            await _get(served, path, 401, role=None)
            for role in Role:
                await _get(served, path, role=role)

    _run(tmp_path, check, "n1-1")


def test_records_without_a_journal_are_for_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            await _get(served, "/v1/flights", 503)
            await _get(served, "/v1/flights/1", 503)

    asyncio.run(main())
