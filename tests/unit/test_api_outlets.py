from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.link.messages import OutletState
from tests.support.api_words import START_MS, write_minutes
from tests.support.serving import Served, serving, view


async def _get(served: Served, path: str, status_: int = 200, **query: Any) -> Any:
    async with served.client() as client:
        response = await client.get(path, params=query)
        assert response.status_code == status_, response.text
        return response.json()


def _run(folder: Path, check: Any) -> None:
    async def main() -> None:
        async with serving(folder) as served:
            served.show_all()
            await check(served)

    asyncio.run(main())


def test_outlets_come_in_pages_with_the_guards_standing(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        first = await _get(served, "/v1/outlets", limit=4)
        assert [outlet["id"] for outlet in first["outlets"]] == ["n1-1", "n1-2", "n1-3", "n1-4"]
        assert first["next"] == "n1-4"
        assert first["guard"]["reachable"]
        rest = await _get(served, "/v1/outlets", cursor="n1-4")
        assert len(rest["outlets"]) == 6
        assert rest["next"] is None
        served.whole.live.now_away("guard is not running")
        away = await _get(served, "/v1/outlets", state="unknown")
        assert len(away["outlets"]) == 10
        assert away["guard"]["detail"] == "guard is not running"

    _run(tmp_path, check)


FILTERS: list[tuple[dict[str, Any], int]] = [
    ({"pile": "n2"}, 5),
    ({"station": "north"}, 10),
    ({"station": "south"}, 0),
    ({"state": "on"}, 1),
    ({"in_use": "true"}, 1),
    ({"in_use": "false", "pile": "n1"}, 4),
    ({"state": "on", "pile": "n2"}, 0),
]


def test_filters(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        served.whole.live.changed([view(served.site, "n1-2", state=OutletState.ON)])
        for query, found in FILTERS:
            assert len((await _get(served, "/v1/outlets", **query))["outlets"]) == found, query

    _run(tmp_path, check)


WRONG_FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"limt": "3"}, "limt"),
    ({"limit": "0"}, "limit"),
    ({"limit": "201"}, "limit"),
    ({"limit": "many"}, "limit"),
    ({"state": "broken"}, "state"),
    ({"cursor": "n9-9"}, "cursor"),
    ({"cursor": "../etc"}, "cursor"),
    ({"in_use": "perhaps"}, "in_use"),
    ({"pile": "N 1"}, "pile"),
]


def test_wrong_filters_are_named(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        for query, field in WRONG_FILTERS:
            problem = await _get(served, "/v1/outlets", 422, **query)
            error = problem["errors"][0]
            assert (error["in"], error["field"]) == ("query", field)

    _run(tmp_path, check)


def test_one_outlet(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        answer = await _get(served, "/v1/outlets/n2-7")
        assert (answer["outlet"]["id"], answer["outlet"]["pile"]) == ("n2-7", "n2")
        assert (await _get(served, "/v1/outlets/n9", 404))["code"] == "not_known"
        await _get(served, "/v1/outlets/n2-7", 422, verbose="1")
        await _get(served, "/v1/outlets/N%207", 422)

    _run(tmp_path, check)


def test_groups_count_what_is_free(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        served.whole.live.changed(
            [
                view(served.site, "n1-1", state=OutletState.ON),
                view(served.site, "n1-2", state=OutletState.CUT),
            ]
        )
        groups = await _get(served, "/v1/groups")
        assert groups["id"] == "shed"
        assert groups["outlets"]["free"] == 8
        station = groups["stations"][0]
        assert [pile["id"] for pile in station["piles"]] == ["n1", "n2"]
        assert station["piles"][0]["outlets"] == {
            "total": 5,
            "free": 3,
            "in_use": 1,
            "cut": 1,
            "locked": 0,
            "unknown": 0,
        }

    _run(tmp_path, check)


def test_minutes_come_in_pages(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        await write_minutes(tmp_path, 5)
        path = "/v1/outlets/n1-1/minutes"
        span: dict[str, Any] = {"from": "2026-09-21T13:00:00Z", "to": "2026-09-22T14:00:00+01:00"}
        first = await _get(served, path, **span, limit=3)
        assert [minute["energy_mwh"] for minute in first["minutes"]] == [3000, 3001, 3002]
        assert first["minutes"][0]["minute_utc_ms"] == START_MS
        assert first["minutes"][0]["power_w"] == {"low": 179.0, "high": 181.0, "mean": 180.0}
        assert first["minutes"][0]["voltage_v"] is None
        rest = await _get(served, path, **{**span, "from": first["next"]}, limit=3)
        assert [minute["energy_mwh"] for minute in rest["minutes"]] == [3003, 3004]
        assert rest["next"] is None
        assert (await _get(served, path))["minutes"] == []

    _run(tmp_path, check)


WRONG_SPANS: list[dict[str, Any]] = [
    {"from": "yesterday"},
    {"from": "2026-03-04T00:00:00"},
    {"from": "2026-03-04T00:00:00Z", "to": "2026-03-03T00:00:00Z"},
    {"from": "2026-01-01T00:00:00Z", "to": "2026-03-03T00:00:00Z"},
    {"from": "9999-12-31T23:59:59Z"},
    {"to": "0.5"},
    {"to": "1772582400000"},
    {"to": "2026-03-04"},
    {"limit": "0"},
]


def test_wrong_spans_are_named(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        await write_minutes(tmp_path, 1)
        for query in WRONG_SPANS:
            await _get(served, "/v1/outlets/n1-1/minutes", 422, **query)

    _run(tmp_path, check)


FAR_SPANS: list[dict[str, Any]] = [
    {"to": "0001-01-01T00:00:00Z"},
    {"from": "0001-01-01T00:00:00+23:59", "to": "0001-01-01T00:00:00Z"},
    {"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59-23:59"},
]


def test_spans_at_the_end_of_the_world_are_empty(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        await write_minutes(tmp_path, 1)
        for query in FAR_SPANS:
            assert (await _get(served, "/v1/outlets/n1-1/minutes", **query))["minutes"] == []

    _run(tmp_path, check)


def test_minutes_without_a_journal_are_for_later(tmp_path: Path) -> None:
    async def check(served: Served) -> None:
        problem = await _get(served, "/v1/outlets/n1-1/minutes", 503)
        assert "no journal yet" in problem["detail"]

    _run(tmp_path, check)
