from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from gateway.serve.tokens import Role
from tests.support.serving import Served, serving

OFF = {"action": "off", "target": {"kind": "outlet", "id": "n1-1"}, "reason": "x"}

READS = (
    "/v1/outlets",
    "/v1/outlets/n1-1",
    "/v1/outlets/n1-1/minutes",
    "/v1/groups",
    "/v1/commands",
    "/v1/events",
)


def _ask(
    folder: Path, role: Role | None, method: str, path: str, body: object = None
) -> httpx.Response:
    async def main() -> httpx.Response:
        async with serving(folder) as served, served.client(role) as client:
            served.show_all()
            return await client.request(method, path, json=body)

    return asyncio.run(main())


@pytest.mark.parametrize("path", [*READS, "/v1/buses", "/v1/tokens", "/v1/events/stream", "/v1/no"])
def test_without_a_token_nothing_is_told(tmp_path: Path, path: str) -> None:
    response = _ask(tmp_path, None, "GET", path)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == 'Bearer realm="pilegate"'
    assert response.json()["code"] == "not_authenticated"


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Basic eDp5", "pg_x", "Bearer pg_" + "x" * 43]
)
def test_a_wrong_token_is_nobodys(tmp_path: Path, value: str) -> None:
    async def main() -> httpx.Response:
        async with serving(tmp_path) as served, served.client(None) as client:
            return await client.get("/v1/outlets", headers={"Authorization": value})

    assert asyncio.run(main()).status_code == 401


def test_an_unknown_callers_body_is_not_even_read(tmp_path: Path) -> None:
    async def main() -> int:
        async with serving(tmp_path) as served, served.client(None) as client:
            response = await client.post(
                "/v1/commands", content=b"{" * 1000, headers={"Content-Type": "application/json"}
            )
            return response.status_code

    assert asyncio.run(main()) == 401


def test_roles(tmp_path: Path) -> None:
    """Viewers read, operators command, admins handle tokens; nobody less does."""

    async def allowed(served: Served, role: Role) -> list[str]:
        found = []
        async with served.client(role) as client:
            for path in READS:
                response = await client.get(path)
                found += ["read"] if response.status_code != 403 else []
            command = await client.post("/v1/commands", json=OFF)
            found += ["command"] if command.status_code == 202 else []
            if command.status_code != 202:
                assert command.status_code == 403
                assert "role operator is needed" in command.json()["detail"]
            listed = await client.get("/v1/tokens")
            made = await client.post("/v1/tokens", json={"name": f"by-{role}", "role": "viewer"})
            gone = await client.delete("/v1/tokens/by-admin")
            answers = [listed.status_code, made.status_code, gone.status_code]
            found += ["tokens"] if answers == [200, 201, 204] else []
            if role is not Role.ADMIN:
                assert answers == [403, 403, 403]
        return found

    async def main() -> dict[Role, list[str]]:
        async with serving(tmp_path) as served:
            return {role: await allowed(served, role) for role in Role}

    assert asyncio.run(main()) == {
        Role.VIEWER: ["read"] * 6,
        Role.OPERATOR: ["read"] * 6 + ["command"],
        Role.ADMIN: ["read"] * 6 + ["command", "tokens"],
    }


def test_a_token_made_by_an_admin_works_until_it_is_revoked(tmp_path: Path) -> None:
    async def main() -> list[int]:
        async with serving(tmp_path) as served, served.client(Role.ADMIN) as admin:
            made = await admin.post("/v1/tokens", json={"name": "x", "role": "viewer", "for_s": 60})
            headers = {"Authorization": f"Bearer {made.json()['token']}"}
            async with served.client(None) as client:
                first = await client.get("/v1/outlets", headers=headers)
                again = await admin.post("/v1/tokens", json={"name": "x", "role": "viewer"})
                await admin.delete("/v1/tokens/x")
                second = await client.get("/v1/outlets", headers=headers)
                views = (await admin.get("/v1/tokens")).json()["tokens"]
                assert "token" not in views[-1]
                assert views[-1]["revoked_utc_ms"] is not None
                return [first.status_code, again.status_code, second.status_code]

    assert asyncio.run(main()) == [200, 409, 401]


def test_health_needs_no_token_and_metrics_only_on_the_machine_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as served:
            async with served.client(None) as client:
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/openapi.json")).status_code == 200
                assert (await client.get("/metrics")).status_code == 401
            for address in ("127.0.0.1", "::1"):
                transport = httpx.ASGITransport(served.whole.app, client=(address, 1))
                async with httpx.AsyncClient(transport=transport, base_url="http://s") as local:
                    assert (await local.get("/metrics")).status_code == 200
            async with served.client(Role.VIEWER) as client:
                text = (await client.get("/metrics")).text
            assert 'route="/healthz",status="200"' in text
            assert "pilegate_facts_waiting 0.0" in text

    asyncio.run(main())


def test_what_clients_invent_does_not_become_a_label(tmp_path: Path) -> None:
    async def main() -> str:
        async with serving(tmp_path) as served, served.client(Role.VIEWER) as client:
            await client.get("/v1/secret-path")
            await client.request("BREW", "/v1/outlets")
            await client.get("/v1/outlets/n1-1")
            return (await client.get("/metrics")).text

    text = asyncio.run(main())
    assert "secret-path" not in text
    assert "BREW" not in text
    assert 'method="GET",route="/v1/outlets/{outlet}",status="200"' in text
