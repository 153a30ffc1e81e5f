from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import edge
from api.schemas.problem import ProblemBody
from gateway.core.errors import FixInstallation, TryLater
from tests.support.api_words import ON, write_minutes
from tests.support.serving import Served, serving

JSON = {"Content-Type": "application/json", "Idempotency-Key": "k"}


def _check_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    ProblemBody.model_validate(body)
    assert body["status"] == status
    assert body["type"] == f"urn:pilegate:problem:{body['code']}"
    return body


def _post(folder: Path, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    async def main() -> httpx.Response:
        async with serving(folder) as served, served.client() as client:
            return await client.post("/v1/commands", content=content, headers=headers or JSON)

    return asyncio.run(main())


HOSTILE = [
    b"",
    b"{",
    b"nonsense",
    b'{"a": }',
    b"\xff\xfe\x00",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"lease": {"for_s": ' + b"9" * 5_000 + b"}}",
    b'{"lease": {"for_s": NaN}, "action": Infinity}',
    b'{"lease": {"for_s": 1e999}}',
    b'{"\\ud800": "\\udfff", "reason": "\\ud800"}',
    b"\xef\xbb\xbf{}",
    b"null",
    b"1",
    b'"x"',
    b"{}" * 2,
]


def test_bodies_that_are_no_json_or_hostile(tmp_path: Path) -> None:
    async def main() -> list[httpx.Response]:
        async with serving(tmp_path) as served, served.client() as client:
            return [
                await client.post("/v1/commands", content=content, headers=JSON)
                for content in HOSTILE
            ]

    for response in asyncio.run(main()):
        assert response.status_code in (400, 422)
        _check_problem(response, response.status_code)


AMBIGUOUS = [
    (b'{"action": "off", "action": "on"}', "'action' stands twice in one object"),
    (b'{"target": {"id": "n1-1", "kind": "outlet", "id": "n1-2"}}', "'id' stands twice in one"),
    (json.dumps(ON).encode("utf-16"), "it is not in UTF-8"),
    (b'{"lease": {"for_s": NaN}}', "NaN is no JSON"),
    (b"[" * 60_000, "it is nested too deeply"),
    (b'{"lease": {"for_s": ' + b"9" * 5_000 + b"}}", "it holds a number that is too long"),
]


def test_a_body_that_could_mean_two_things_means_nothing(tmp_path: Path) -> None:
    async def main() -> list[httpx.Response]:
        async with serving(tmp_path) as served, served.client() as client:
            return [
                await client.post("/v1/commands", content=content, headers=JSON)
                for content, _ in AMBIGUOUS
            ]

    for response, (_, why) in zip(asyncio.run(main()), AMBIGUOUS, strict=True):
        assert _check_problem(response, 400)["detail"].startswith(f"the body is not JSON: {why}")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert _post(tmp_path, b"\xef\xbb\xbf" + json.dumps(ON).encode()).status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
def test_other_kinds_of_body_are_refused(tmp_path: Path, kind: str) -> None:
    content = json.dumps(ON).encode()
    body = _check_problem(_post(tmp_path, content, {"Content-Type": kind}), 415)
    assert body["detail"] == "send the body as application/json"


def test_a_compressed_body_is_refused(tmp_path: Path) -> None:
    _check_problem(_post(tmp_path, b"x", {**JSON, "Content-Encoding": "gzip"}), 415)


def test_a_body_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    _check_problem(_post(tmp_path, b" " * (edge.MOST_BODY_BYTES + 1)), 413)


def test_a_body_that_turns_out_huge_is_not_read_on(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    _check_problem(_post(tmp_path, pieces()), 413)


def test_a_body_that_just_fits_is_read(tmp_path: Path) -> None:
    content = json.dumps(ON).encode()
    content += b" " * (edge.MOST_BODY_BYTES - len(content))
    assert _post(tmp_path, content).status_code == 202


def test_a_body_that_does_not_arrive_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "BODY_WITHIN_S", 0.05)

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        async with serving(tmp_path) as served:
            token = served.tokens[list(served.tokens)[1]]
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "path": "/v1/commands",
                "raw_path": b"/v1/commands",
                "query_string": b"",
                "root_path": "",
                "scheme": "http",
                "server": ("s", 1),
                "client": ("c", 1),
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"authorization", f"Bearer {token}".encode()),
                ],
            }
            await served.whole.app(scope, receive, send)
        return sent

    assert asyncio.run(main())[0]["status"] == 408


NOT_THERE = [
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("GET", "/v1/outlets/", 404),
    ("GET", "/v1/outlets/a/b/c", 404),
    ("GET", "/v2/outlets", 404),
    ("GET", "/docs", 404),
    ("DELETE", "/v1/outlets", 405),
    ("PATCH", "/v1/commands", 405),
    ("POST", "/healthz", 405),
    ("PUT", "/healthz", 405),
    ("PUT", "/v1/nowhere", 404),
    ("BREW", "/v1/outlets", 405),
]


def test_paths_and_methods_that_are_not_there(tmp_path: Path) -> None:
    async def main() -> list[httpx.Response]:
        async with serving(tmp_path) as served, served.client() as client:
            return [
                await client.request(method, path, content=b"x" if method == "PUT" else None)
                for method, path, _ in NOT_THERE
            ]

    for response, (_, _, status) in zip(asyncio.run(main()), NOT_THERE, strict=True):
        _check_problem(response, status)
        assert ("allow" in response.headers) == (status == 405)


def test_every_method_a_path_takes_is_named(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with serving(tmp_path) as served, served.client() as client:
            paths = ("/v1/commands", "/v1/tokens/x", "/v1/outlets")
            return [(await client.put(path)).headers["allow"] for path in paths]

    assert asyncio.run(main()) == ["GET, POST", "DELETE", "GET"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TryLater("locked", retry_after_s=2.2), "try_later"),
        (FixInstallation("full"), "installation"),
    ],
)
def test_trouble_of_the_machine_is_not_the_clients_fault(
    tmp_path: Path, error: Exception, code: str
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise error

    async def main() -> httpx.Response:
        async with serving(tmp_path) as served, served.client() as client:
            served.whole.commands.page = fails  # type: ignore[method-assign, assignment]
            return await client.get("/v1/commands")

    response = asyncio.run(main())
    assert _check_problem(response, 503)["code"] == code
    assert int(response.headers["retry-after"]) >= 1


def test_a_fault_of_the_program_tells_nothing_about_it(tmp_path: Path) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise KeyError("secret")

    async def main() -> httpx.Response:
        async with serving(tmp_path) as served:
            served.whole.commands.page = fails  # type: ignore[method-assign, assignment]
            transport = httpx.ASGITransport(served.whole.app, raise_app_exceptions=False)
            async with served.client() as client:
                client._transport = transport
                return await client.get("/v1/commands")

    response = asyncio.run(main())
    assert _check_problem(response, 500)["code"] == "internal"
    assert "secret" not in response.text


def test_requests_at_the_same_time_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "MOST_REQUESTS", 3)

    async def main() -> list[int]:
        async with serving(tmp_path) as served, served.client() as client:
            gate = asyncio.Event()

            async def slow(*_: object, **__: object) -> tuple[list[object], None]:
                await gate.wait()
                return [], None

            served.whole.commands.page = slow  # type: ignore[method-assign, assignment]
            asked = [asyncio.create_task(client.get("/v1/commands")) for _ in range(5)]
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            gate.set()
            statuses = [response.status_code for response in await asyncio.gather(*asked)]
            assert done
            return sorted(statuses)

    assert asyncio.run(main()) == [200, 200, 200, 503, 503]


def test_health_is_told_by_a_busy_process_whose_database_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "MOST_REQUESTS", 0)

    async def main() -> tuple[int, int]:
        async with serving(tmp_path) as served, served.client() as client:

            def fails() -> None:
                raise FixInstallation("the disk does not answer")

            served.database.reading = fails  # type: ignore[method-assign, assignment]
            busy = await client.get("/v1/outlets")
            return busy.status_code, (await client.get("/healthz")).status_code

    assert asyncio.run(main()) == (503, 200)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY_JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(["action", "target", "lease", "reason", "on_site"])
NEARLY = st.builds(
    lambda base, changes: {**base, **changes},
    st.just(ON),
    st.dictionaries(FIELDS | st.text(max_size=5), ANY_JSON, max_size=3),
)


async def _fuzz(served: Served, method: str, path: str, **parts: Any) -> int:
    async with served.client() as client:
        response = await client.request(method, path, **parts)
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        _check_problem(response, response.status_code)
    return response.status_code


def test_no_body_makes_the_program_fail(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        context = serving(tmp_path)
        served = runner.run(context.__aenter__())

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(body=ANY_JSON | NEARLY, escape=st.booleans())
        def check(body: Any, escape: bool) -> None:
            text = json.dumps(body, ensure_ascii=escape).encode("utf-8", "surrogatepass")
            if len(text) < edge.MOST_BODY_BYTES:
                runner.run(_fuzz(served, "POST", "/v1/commands", content=text, headers=JSON))

        check()
        runner.run(context.__aexit__(None, None, None))


QUERY_NAMES = st.sampled_from(
    ["after", "limit", "kind", "outlet", "cursor", "state", "pile", "in_use", "from", "to", "wait"]
)
PATHS = st.sampled_from(
    ["/v1/outlets", "/v1/events", "/v1/commands", "/v1/groups", "/v1/outlets/n1-1/minutes"]
)


def test_no_query_makes_the_program_fail(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        context = serving(tmp_path)
        served = runner.run(context.__aenter__())
        runner.run(write_minutes(tmp_path, 2))

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            path=PATHS,
            query=st.lists(
                st.tuples(
                    QUERY_NAMES,
                    st.text(max_size=12)
                    | st.integers().map(str)
                    | st.datetimes().map(lambda at: at.isoformat() + "Z"),
                ),
                max_size=4,
            ),
        )
        def check(path: str, query: list[tuple[str, str]]) -> None:
            known = [(n, v.encode("utf-8", "replace").decode()) for n, v in query]
            runner.run(_fuzz(served, "GET", path, params=known))

        check()
        runner.run(context.__aexit__(None, None, None))
