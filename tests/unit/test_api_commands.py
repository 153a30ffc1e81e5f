from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.core.errors import TryLater
from gateway.core.facts import FactKind
from gateway.serve.course import OutletCourse, OutletResult, with_outlets
from tests.support.api_words import ON, event
from tests.support.serving import Served, serving

OFF: dict[str, Any] = {
    "action": "off",
    "target": {"kind": "pile", "id": "n1"},
    "reason": "a test",
}

Check = Callable[[Served, httpx.AsyncClient], Awaitable[None]]


def _run(folder: Path, check: Check) -> None:
    async def main() -> None:
        async with serving(folder) as served, served.client() as client:
            await check(served, client)

    asyncio.run(main())


async def _post(
    client: httpx.AsyncClient, body: Any, key: str | None = None, wait: float | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    params = {} if wait is None else {"wait": wait}
    return await client.post("/v1/commands", json=body, headers=headers, params=params)


def test_a_command_is_accepted_with_its_place(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        response = await _post(client, ON, "k1")
        assert response.status_code == 202
        body = response.json()
        assert response.headers["location"] == f"/v1/commands/{body['id']}"
        assert body["state"] == "recorded"
        assert body["actor"] == "api:operator"
        assert body["lease"] == {"for_s": 3600.0, "energy_wh": 500.5, "power_w": 300.0}
        again = await client.get(response.headers["location"])
        assert again.json() == body

    _run(tmp_path, check)


def test_the_same_key_gives_the_same_answer(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        first, second = await _post(client, ON, "k1"), await _post(client, ON, "k1")
        assert second.json() == first.json()
        assert second.headers["location"] == first.headers["location"]
        other = await _post(client, {**ON, "lease": {"for_s": 3601}}, "k1")
        assert other.status_code == 409
        assert other.json()["code"] == "idempotency_key_reused"
        assert len((await client.get("/v1/commands")).json()["commands"]) == 1

    _run(tmp_path, check)


def test_waiting_gives_the_verdict(tmp_path: Path) -> None:
    async def check(served: Served, client: httpx.AsyncClient) -> None:
        waiting = asyncio.create_task(_post(client, ON, "k1", wait=20))
        while not (commands := await served.whole.commands.unfinished()):
            await asyncio.sleep(0.01)
        data = {"request_id": commands[0].id, "lease_id": "l1"}
        effect = served.whole.taker._effects[0]
        async with served.database.writing() as session:
            await effect.apply(session, [event(1, FactKind.OUTLET_ON, "n1-1", **data)])
        effect.committed()
        response = await waiting
        assert response.status_code == 200
        assert response.json()["state"] == "succeeded"
        assert response.json()["outlets"][0]["lease_id"] == "l1"

    _run(tmp_path, check)


def test_waiting_in_vain_is_not_an_error(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        response = await _post(client, ON, "k1", wait=0.05)
        assert response.status_code == 202
        assert response.json()["state"] == "recorded"

    _run(tmp_path, check)


def test_what_is_written_down_is_told_also_when_waiting_fails(tmp_path: Path) -> None:
    async def check(served: Served, client: httpx.AsyncClient) -> None:
        async def fails(*_: object) -> None:
            raise TryLater("the database is locked")

        served.whole.commands.wait = fails  # type: ignore[method-assign, assignment]
        response = await _post(client, ON, "k1", wait=5)
        assert response.status_code == 202
        assert (await client.get(response.headers["Location"])).json() == response.json()

    _run(tmp_path, check)


def test_a_refusal_is_told_with_its_code(tmp_path: Path) -> None:
    async def check(served: Served, client: httpx.AsyncClient) -> None:
        command = (await _post(client, ON, "k1")).json()["id"]
        part = OutletCourse(result=OutletResult.REFUSED, code="latched", message="cut off")
        await served.whole.commands.advance(command, lambda c: with_outlets(c, {"n1-1": part}))
        body = (await client.get(f"/v1/commands/{command}")).json()
        assert (body["state"], body["code"], body["message"]) == ("refused", "latched", "cut off")
        found = (await client.get("/v1/commands", params={"state": "refused"})).json()
        assert [each["id"] for each in found["commands"]] == [command]

    _run(tmp_path, check)


WRONG: list[tuple[Any, str]] = [
    ({**ON, "lease": None}, "lease"),
    ({k: v for k, v in ON.items() if k != "lease"}, "lease"),
    ({**OFF, "lease": {"for_s": 1}}, "lease"),
    ({**OFF, "on_site": True}, "on_site"),
    ({**ON, "lease": {"for_s": 0}}, "lease.for_s"),
    ({**ON, "lease": {"for_s": 86_401}}, "lease.for_s"),
    ({**ON, "lease": {"for_s": "60"}}, "lease.for_s"),
    ({**ON, "lease": {"for_s": True}}, "lease.for_s"),
    ({**ON, "lease": {"for_s": 60, "energy_wh": -1}}, "lease.energy_wh"),
    ({**ON, "lease": {"for_s": 60, "watts": 1}}, "lease.watts"),
    ({**ON, "target": {"kind": "outlet"}}, "target.id"),
    ({**ON, "target": {"kind": "shed", "id": "n1"}}, "target.kind"),
    ({**ON, "target": {"kind": "outlet", "id": "N 1"}}, "target.id"),
    ({**ON, "target": "n1-1"}, "target"),
    ({**ON, "reason": ""}, "reason"),
    ({**ON, "reason": "x" * 201}, "reason"),
    ({**ON, "reason": "two\nlines"}, "reason"),
    ({**ON, "reason": "\x00"}, "reason"),
    ({**ON, "reason": None}, "reason"),
    ({**ON, "action": "ON"}, "action"),
    ({**ON, "urgent": True}, "urgent"),
    ([ON], ""),
    ("on", ""),
]


def test_wrong_bodies_are_named_by_their_field(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        for body, field in WRONG:
            response = await _post(client, body, "k")
            problem = response.json()
            assert (response.status_code, problem["code"]) == (422, "invalid")
            found = [(error["in"], error["field"]) for error in problem["errors"]]
            assert found == [("body", field)], body
        assert (await client.get("/v1/commands")).json()["commands"] == []

    _run(tmp_path, check)


def test_every_error_of_a_body_is_told_at_once(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        body = {"action": "fly", "target": {"kind": "x", "id": ""}, "lease": {"for_s": -1}}
        fields = {error["field"] for error in (await _post(client, body, "k")).json()["errors"]}
        assert fields == {"action", "target.kind", "target.id", "lease.for_s", "reason"}

    _run(tmp_path, check)


def test_an_on_needs_a_key_that_can_be_one(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        for key in (None, "", " ", "x" * 129, "with space", "ü"):
            headers = {} if key is None else {b"Idempotency-Key": key.encode("latin-1")}
            response = await client.post("/v1/commands", json=ON, headers=headers)
            assert response.status_code == 422
            error = response.json()["errors"][0]
            assert (error["in"], error["field"]) == ("header", "Idempotency-Key")

    _run(tmp_path, check)


def test_targets_that_are_not_there(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        for target in ({"kind": "outlet", "id": "n9"}, {"kind": "site", "id": "other"}):
            response = await _post(client, {**OFF, "target": target})
            assert response.status_code == 404
            assert target["id"] in response.json()["detail"]

    _run(tmp_path, check)


def test_commands_of_one_target_in_pages(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        for _ in range(3):
            await _post(client, OFF)
            await asyncio.sleep(0.002)
        await _post(client, ON, "k")
        found: list[str] = []
        query: dict[str, Any] = {"target": "pile/n1", "limit": 2}
        while True:
            page = (await client.get("/v1/commands", params=query)).json()
            found += [command["id"] for command in page["commands"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert len(found) == 3
        assert found == sorted(found, reverse=True)

    _run(tmp_path, check)


def test_wrong_questions(tmp_path: Path) -> None:
    async def check(_served: Served, client: httpx.AsyncClient) -> None:
        for path in (
            "/v1/commands?target=n1",
            "/v1/commands?cursor=x",
            "/v1/commands?limit=0",
            "/v1/commands?wait=1",
            "/v1/commands/xyz",
        ):
            assert (await client.get(path)).status_code == 422
        assert (await _post(client, OFF, wait=31)).status_code == 422

    _run(tmp_path, check)
