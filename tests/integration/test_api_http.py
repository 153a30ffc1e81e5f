"""The API on a real socket, with a guard behind it and hostile clients before it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.config import TlsFiles
from gateway.core.errors import FixInstallation
from gateway.core.facts import FactKind
from gateway.serve import http
from gateway.serve.app import Serve
from gateway.serve.http import listen_on, make_server, split_listen
from gateway.serve.tokens import Role
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import life
from tests.support.shed import small_site
from tests.support.waiting import until

ON = {
    "action": "on",
    "target": {"kind": "outlet", "id": "n1-1"},
    "lease": {"for_s": 60},
    "reason": "a test",
}


NO_HTTP = b'{"status": 400, "code": "malformed"}'


@asynccontextmanager
async def listening(whole: Serve) -> AsyncIterator[int]:
    """Serve HTTP on a free port of loopback."""
    sock = listen_on("127.0.0.1", 0, tls=False)
    server = make_server(whole.app, None, NO_HTTP)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        whole.feed.close()
        server.should_exit = True
        await task
        sock.close()


Check = Callable[[httpx.AsyncClient, Serve, FakeGuard], Awaitable[None]]


def _run(folder: Path, check: Check) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(folder), folder)
        async with (
            asyncio.timeout(60),
            guard.running(),
            life(folder) as whole,
            listening(whole) as port,
        ):
            await until(lambda: whole.live.one("n2-10").view.state.value == "off")
            token = await whole.tokens.add("op", Role.OPERATOR, None)
            headers = {"Authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
                await check(client, whole, guard)

    asyncio.run(main())


def test_the_whole_way_of_an_on(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, whole: Serve, _guard: FakeGuard) -> None:
        key = {"Idempotency-Key": "order-1"}
        answer = await client.post("/v1/commands", json=ON, headers=key, params={"wait": 20})
        assert answer.status_code == 200
        assert answer.json()["state"] == "succeeded"
        await until(lambda: whole.live.one("n1-1").in_use)
        outlet = (await client.get("/v1/outlets/n1-1")).json()["outlet"]
        assert outlet["state"] == "on"
        events = (await client.get("/v1/events")).json()["events"]
        assert [event["kind"] for event in events] == ["lease.started", "outlet.on"]
        assert {event["data"]["request_id"] for event in events} == {answer.json()["id"]}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        buses = (await client.get("/v1/buses")).json()
        assert buses["buses"][0]["bus"] == "net1"
        (interlock,) = (await client.get("/v1/interlocks")).json()["interlocks"]
        assert (interlock["state"], interlock["cause"]) == ("tripped", "input")
        circuits = (await client.get("/v1/circuits")).json()
        assert circuits["circuits"][0]["waiting"] == ["n1-1"]
        assert circuits["circuits"][0]["known_by"] == "meter"
        metrics = (await client.get("/metrics")).text
        assert "pilegate_guard_samples_total 7" in metrics
        assert "pilegate_outlets_in_use 1.0" in metrics

    _run(tmp_path, check)


def test_fifty_clients_that_list_outlets_cost_the_guard_nothing(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, _whole: Serve, guard: FakeGuard) -> None:
        before = _asked(guard)
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(
            base_url=client.base_url, headers=client.headers, limits=limits, timeout=60
        ) as many:
            for _ in range(3):
                answers = await asyncio.gather(*(many.get("/v1/outlets") for _ in range(50)))
                assert {answer.status_code for answer in answers} == {200}
                assert {len(answer.json()["outlets"]) for answer in answers} == {10}
        assert _asked(guard) == before

    _run(tmp_path, check)


def _asked(guard: FakeGuard) -> list[str]:
    """What the guard was asked, besides whether it is there."""
    return [method for method, _ in guard.calls if method != "hello"]


def test_a_stream_over_http_goes_on_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        guard = FakeGuard(small_site(tmp_path), tmp_path)
        last = 0
        async with asyncio.timeout(60), guard.running():
            token = ""
            for _ in range(2):
                async with life(tmp_path) as whole, listening(whole) as port:
                    token = token or await whole.tokens.add("op", Role.VIEWER, None)
                    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": str(last)}
                    url = f"http://127.0.0.1:{port}"
                    async with (
                        httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
                        client.stream("GET", "/v1/events/stream") as stream,
                    ):
                        assert stream.headers["content-type"].startswith("text/event-stream")
                        await guard.fact(FactKind.OUTLET_ALARM, "n1-1")
                        async for line in stream.aiter_lines():
                            if line.startswith("id: "):
                                assert int(line[4:]) == last + 1
                                last += 1
                                break
                await guard.fact(FactKind.OUTLET_ALARM, "n1-2")  # while nobody listens
            assert last == 2

    asyncio.run(main())


async def _talk(port: int, sent: bytes) -> bytes:
    """Send bytes as they are, and read until the server closes or answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(30):
            return await reader.read(65_536)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_head_is_answered_as_its_get_without_the_body(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        for path in ("/healthz", "/v1/groups"):
            asked, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == asked.headers["content-length"]
        assert (await client.head("/v1/nothing")).status_code == 404
        assert (await client.head("/v1/events/stream")).status_code == 405

    _run(tmp_path, check)


def test_garbage_and_huge_heads_do_no_harm(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        port = client.base_url.port
        assert port is not None
        for sent in (
            b"\x00\x01\x02\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500,
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /v1/outlets HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
            b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        ):
            answer = await _talk(port, sent)
            assert b" 500 " not in answer.partition(b"\r\n")[0]
        assert (await client.get("/healthz")).status_code == 200

    _run(tmp_path, check)


def test_what_is_no_http_gets_a_problem_and_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also in the middle of a request, after one, and from a client that closed its side."""
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nXX\r\n"

    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        port = client.base_url.port
        assert port is not None
        for sent in (b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", chunked):
            answer = await _talk(port, sent)
            assert answer.startswith(b"HTTP/1.1 400 "), sent
            assert b"content-type: application/problem+json" in answer
            assert answer.endswith(NO_HTTP)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"Content-Length: 10\r\n\r\n12345")
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert (await client.get("/healthz")).status_code == 200

    _run(tmp_path, check)
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_websocket_is_not_served(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        port = client.base_url.port
        assert port is not None
        answer = await _talk(
            port,
            b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 401 ")

    _run(tmp_path, check)


def test_a_head_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_WITHIN_S", 0.1)
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 0.1)

    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        port = client.base_url.port
        assert port is not None
        whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        assert await _talk(port, b"") == b""
        assert await _talk(port, whole[:20]) == b""
        # Time for the whole one to arrive and be read, however busy this machine is.
        monkeypatch.setattr(http, "HEAD_WITHIN_S", 2.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole + whole[:20])  # a whole one, and one that does not come to its end
        async with asyncio.timeout(30):
            answers = await reader.read()
        writer.close()
        assert answers.count(b"HTTP/1.1 200 OK") == 1

    _run(tmp_path, check)


def test_a_client_that_reads_nothing_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_WITHIN_S", 0.1)

    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        token = client.headers["Authorization"]
        asks = f"GET /v1/outlets HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]

        async def ask() -> None:
            while True:
                writer.write(asks)
                await writer.drain()

        asking = asyncio.create_task(ask())
        await asyncio.wait([asking], timeout=40)
        with pytest.raises(ConnectionError):
            await asking
        assert (await client.get("/v1/outlets")).status_code == 200

    _run(tmp_path, check)


def test_the_rest_of_a_body_that_was_answered_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "REST_WITHIN_S", 0.1)

    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")

        async def trickle() -> None:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        await asyncio.wait([trickling], timeout=20)
        with pytest.raises(ConnectionError):
            await trickling

    _run(tmp_path, check)


def test_a_body_without_end_is_cut_short(tmp_path: Path) -> None:
    async def check(client: httpx.AsyncClient, _whole: Serve, _guard: FakeGuard) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1_000):
                yield b" " * 1_024

        # It may close while we are still writing.
        with suppress(httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
            answer = await client.post(
                "/v1/commands",
                content=endless(),
                headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
            )
            assert answer.status_code == 413
        assert (await client.get("/healthz")).status_code == 200

    _run(tmp_path, check)


def test_without_a_guard_it_says_so_everywhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), life(tmp_path) as whole, listening(whole) as port:
            token = await whole.tokens.add("op", Role.OPERATOR, None)
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30
            ) as client:
                outlets = (await client.get("/v1/outlets")).json()
                assert {outlet["state"] for outlet in outlets["outlets"]} == {"unknown"}
                assert not outlets["guard"]["reachable"]
                buses = await client.get("/v1/buses")
                assert buses.status_code == 503
                assert "guard is not running" in buses.json()["detail"]
                ready = await client.get("/readyz")
                assert ready.status_code == 503
                assert not ready.json()["guard"]["ok"]
                assert ready.json()["database"]["ok"]
                answer = await client.post(
                    "/v1/commands",
                    content=json.dumps(ON),
                    headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
                    params={"wait": 20},
                )
                assert (answer.status_code, answer.json()["code"]) == (200, "not_delivered")

    asyncio.run(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_it_speaks_tls(tmp_path: Path) -> None:
    files = TlsFiles(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", files.key, "-out", files.cert],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip

    async def main() -> None:
        async with asyncio.timeout(60), life(tmp_path) as whole:
            sock = listen_on("127.0.0.1", 0, tls=True)
            server = make_server(whole.app, files, NO_HTTP)
            task = asyncio.create_task(server.serve(sockets=[sock]))
            port = sock.getsockname()[1]
            trust = ssl.create_default_context(cafile=files.cert)
            async with httpx.AsyncClient(verify=trust, timeout=30) as client:
                answer = await client.get(f"https://127.0.0.1:{port}/healthz")
                assert answer.status_code == 200
            server.should_exit = True
            await task
            sock.close()

    asyncio.run(main())


def _refused(act: Callable[[], Any]) -> str:
    with pytest.raises(FixInstallation) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_addresses_that_can_not_be_listened_on(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        assert "there is no TLS" in _refused(partial(listen_on, host, 0, tls=False))
    assert "no address of this machine" in _refused(lambda: listen_on("192.0.2.1", 0, tls=True))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "is taken: stop" in _refused(lambda: listen_on("127.0.0.1", port, tls=False))
    for wrong in ("", "127.0.0.1", ":80", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:-1"):
        assert "is not host:port" in _refused(partial(split_listen, wrong))
    assert split_listen("[::1]:0") == ("::1", 0)
    missing = TlsFiles(cert=tmp_path / "no.pem", key=tmp_path / "no.key")

    async def app(*_: object) -> None: ...

    assert "can't be used" in _refused(lambda: make_server(app, missing, NO_HTTP))
