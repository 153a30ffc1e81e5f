from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    NotKnown,
    Refused,
    TryLater,
)
from gateway.guard.control import MOST_CLIENTS, MOST_OF_ONE, ControlServer
from gateway.guard.control_connection import MOST_UNDER_WAY
from gateway.guard.journal import Journal
from gateway.guard.state_lock import StateLock
from gateway.link.address import LONGEST_ADDRESS_BYTES, socket_path
from gateway.link.client import GuardClient
from gateway.link.once import call_once
from gateway.link.requests import BusesAnswer, HelloAnswer, SnapshotPage, verdicts_from_json
from gateway.link.rpc import LONGEST_REQUEST_BYTES
from tests.support.control import Raw, RememberingService, listening

ROOT = Path(__file__).parents[2]
OFF: dict[str, Any] = {
    "target": {"kind": "outlet", "id": "o0000"},
    "actor": "ann",
    "reason": "test",
}
ON: dict[str, Any] = {"outlet": "o0000", "for_s": 60, "actor": "ann", "reason": "test"}
SITE: dict[str, Any] = {"target": {"kind": "site", "id": "demo"}, "actor": "ann", "reason": "test"}

Act = Callable[[Path, RememberingService], Awaitable[None]]


def _run(tmp_path: Path, act: Act, *, outlets: int = 3, with_uvloop: bool = True) -> None:
    async def main() -> None:
        service = RememberingService.of(outlets)
        service.gate.set()
        async with asyncio.timeout(60), listening(tmp_path, service) as (path, _):
            await act(path, service)

    factory = uvloop.new_event_loop if with_uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@pytest.mark.parametrize("with_uvloop", [True, False])
def test_every_method_answers(tmp_path: Path, with_uvloop: bool) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            assert HelloAnswer.from_json(await client.call("hello")).site == "demo"
            assert (await client.call("on", **ON))["lease_id"] == "l1"
            assert await client.call("renew", lease_id="l1", for_s=5, actor="a") == {
                "until_utc_ms": 7
            }
            assert len(verdicts_from_json(await client.call("off", **SITE))) == 3
            assert await client.call("lock", **SITE) == {"outlets": []}
            assert await client.call("unlock", **SITE) == {"outlets": []}
            assert (await client.call("limits", outlet="o0001"))["outlet"] == "o0001"
            assert BusesAnswer.from_json(await client.call("buses")) == service.buses()
            text = (await client.call("metrics"))["text"]
            assert text == await service.metrics()
            with pytest.raises(Refused) as refused:
                await client.call("reset", on_site=True, **SITE)
            assert refused.value.code == "on_site"
            with pytest.raises(NotKnown):
                await client.call("on", **ON | {"outlet": "nowhere"})
            with pytest.raises(FixInstallation, match="log says why"):
                await client.call("on", **ON | {"outlet": "faulty"})

    _run(tmp_path, act, with_uvloop=with_uvloop)


def test_a_snapshot_comes_in_pages_and_is_made_in_slices(tmp_path: Path) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            seen: list[str] = []
            after: dict[str, Any] = {}
            while True:
                page = SnapshotPage.from_json(await client.call("snapshot", **after))
                seen += [each.outlet for each in page.outlets]
                assert page.next is None or len(page.outlets) == 200
                if page.next is None:
                    break
                after = {"after": page.next}
            assert seen == list(service.outlets)
            assert service.largest_slice <= 25

            some = ["o0003", "o0400", "o0001"] * 20
            page = SnapshotPage.from_json(await client.call("snapshot", outlets=some))
            assert [each.outlet for each in page.outlets] == some
            page = SnapshotPage.from_json(await client.call("snapshot", limit=30))
            assert (len(page.outlets), page.next) == (30, "o0029")
            assert (await client.call("snapshot", outlets=[]))["outlets"] == []

    _run(tmp_path, act, outlets=450)


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("on", ON | {"for_s": "long"}, "for_s"),
        ("on", ON | {"for_s": 1e999}, None),
        ("on", ON | {"for_s": 10**400}, "for_s"),
        ("on", ON | {"for_s": True}, "for_s"),
        ("on", ON | {"extra": 1}, "extra"),
        ("on", ON | {"outlet": "../x"}, "outlet"),
        ("on", ON | {"reason": "two\nlines"}, "reason"),
        ("on", ON | {"actor": "\ud800"}, "actor"),
        ("on", [], ""),
        ("on", None, ""),
        ("hello", {"x": 1}, "x"),
        ("off", SITE | {"target": {"kind": "town", "id": "x"}}, "target.kind"),
        ("off", SITE | {"target": {"kind": "pile"}}, "target.id"),
        ("off", SITE | {"target": {"kind": "pile", "id": "a", "b": 1}}, "target.b"),
        ("off", SITE | {"on_site": True}, "on_site"),
        ("snapshot", {"outlets": ["a", 1]}, "outlets[1]"),
        ("snapshot", {"outlets": ["a"] * 201}, "outlets"),
        ("snapshot", {"outlets": ["a"], "after": "b"}, "after"),
        ("snapshot", {"limit": 0}, "limit"),
        ("follow", {"facts_after": -1}, "facts_after"),
        ("follow", {"facts_after": 10**30}, "facts_after"),
        ("follow", {"views": "yes"}, "views"),
    ],
)
def test_wrong_parameters_name_their_field_and_change_nothing(
    tmp_path: Path, method: str, params: Any, field: str | None
) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        raw = await Raw.to(path)
        raw.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer = await raw.line()
        assert answer["error"]["code"] in (-32602, -32700)
        if field is not None:
            assert answer["error"]["data"].get("field") == field
        assert "\n" not in answer["error"]["message"]
        assert service.asked == []
        raw.ask(2, "hello")
        assert (await raw.line())["result"]["site"] == "demo"
        await raw.close()

    _run(tmp_path, act)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"\n", -32700),
        (b"{\n", -32700),
        (b"\xff\xfe\n", -32700),
        (b"[" * 30_000 + b"\n", -32700),
        (b'{"a":' * 12_000 + b"\n", -32700),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"hello"}\n', -32700),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"hello"}\n', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"on","params":{"for_s":NaN}}\n', -32700),
        (b"[]\n", -32600),
        (b"null\n", -32600),
        (b'{"jsonrpc":"2.0","method":"hello"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"hello"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"hello"}\n', -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"hello"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"hello","more":1}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"reboot"}\n', -32601),
    ],
)
def test_a_line_that_is_no_request_is_an_error_and_the_next_one_works(
    tmp_path: Path, line: bytes, code: int
) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        raw = await Raw.to(path)
        raw.send(line)
        assert (await raw.line())["error"]["code"] == code
        raw.ask(2, "hello")
        assert (await raw.line())["result"]["site"] == "demo"
        await raw.close()

    _run(tmp_path, act)


def test_the_longest_line_works_and_one_more_byte_closes(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        raw = await Raw.to(path)
        body = b'{"jsonrpc":"2.0","id":1,"method":"hello"}'
        raw.send(body + b" " * (LONGEST_REQUEST_BYTES - len(body) - 1) + b"\n")
        assert "result" in await raw.line()
        raw.send(body + b" " * (LONGEST_REQUEST_BYTES - len(body)) + b"\n")
        assert (await raw.line())["error"]["code"] == -32600
        assert await raw.line() == {}
        await raw.close()

    _run(tmp_path, act)


def test_a_line_without_end_is_refused_before_it_ends(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        raw = await Raw.to(path)
        raw.send(b"x" * 10_000_000)
        assert (await raw.line())["error"]["code"] == -32600
        await raw.close()
        call = await asyncio.to_thread(call_once, path, "hello")
        assert call["site"] == "demo"

    _run(tmp_path, act)


def test_pipelined_requests_all_get_their_answer_and_a_slow_one_holds_up_none(
    tmp_path: Path,
) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw = await Raw.to(path)
        raw.ask(0, "on", **ON)
        for number in range(1, 201):
            raw.ask(number, "hello")
        first = [(await raw.line())["id"] for _ in range(200)]
        assert sorted(first) == list(range(1, 201))
        service.gate.set()
        assert (await raw.line())["id"] == 0
        await raw.close()

    _run(tmp_path, act)


def test_requests_that_wait_are_bounded_and_none_is_lost(tmp_path: Path) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw, other = await Raw.to(path), await Raw.to(path)
        for number in range(200):
            raw.ask(number, "on", **ON)
        async with asyncio.timeout(30):
            while len(service.asked) < MOST_UNDER_WAY:
                await asyncio.sleep(0.01)
        for number in range(10):  # there is time enough for one more
            other.ask(number, "hello")
            await other.line()
        assert len(service.asked) == MOST_UNDER_WAY
        service.gate.set()
        assert sorted([(await raw.line())["id"] for _ in range(200)]) == list(range(200))
        await raw.close()
        await other.close()

    _run(tmp_path, act)


def test_bytes_may_come_one_at_a_time_and_the_client_may_stop_sending(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        raw = await Raw.to(path)
        for byte in b'{"jsonrpc":"2.0","id":"a","method":"hello"}\n':
            raw.send(bytes([byte]))
            await raw.writer.drain()
        assert (await raw.line())["id"] == "a"
        raw.ask(2, "hello")
        raw.writer.write_eof()
        assert (await raw.line())["id"] == 2
        assert await raw.line() == {}
        await raw.close()

    _run(tmp_path, act)


def test_an_off_does_not_wait_behind_the_ons_of_the_same_client(tmp_path: Path) -> None:
    async def act(path: Path, service: RememberingService) -> None:
        service.gate.clear()
        raw = await Raw.to(path)
        for number in range(32):
            raw.ask(number, "on", **ON)
        raw.ask(99, "off", **OFF)
        assert (await raw.line())["id"] == 99
        service.gate.set()
        await raw.close()

    _run(tmp_path, act)


def test_a_process_that_leaks_connections_keeps_nobody_else_out(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        clients = [await Raw.to(path) for _ in range(MOST_OF_ONE)]
        for client in clients:
            client.ask(1, "hello")
            await client.line()
        with pytest.raises(TryLater, match="48 connections"):
            await asyncio.to_thread(call_once, path, "hello")
        ask = "import sys; from pathlib import Path; from gateway.link.once import call_once;"
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ask + "call_once(Path(sys.argv[1]), 'hello')", path), cwd=ROOT
        )
        assert await other.wait() == 0
        for client in clients:
            await client.close()

    _run(tmp_path, act)


def test_one_client_too_many_is_told_and_a_free_place_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.control.MOST_OF_ONE", MOST_CLIENTS + 1)

    async def act(path: Path, _: RememberingService) -> None:
        clients = [await Raw.to(path) for _ in range(MOST_CLIENTS)]
        for client in clients:
            client.ask(1, "hello")
            await client.line()
        with pytest.raises(TryLater, match="64 clients"):
            await asyncio.to_thread(call_once, path, "hello")
        clients[0].writer.close()
        async with asyncio.timeout(30):
            while not (answer := await _hello_or_busy(path)):
                await asyncio.sleep(0.01)
        assert answer["site"] == "demo"
        for client in clients:
            await client.close()

    _run(tmp_path, act)


async def _hello_or_busy(path: Path) -> dict[str, Any]:
    """Ask as a program of its own; empty where the guard has no room yet."""
    try:
        return await asyncio.to_thread(call_once, path, "hello")
    except TryLater:
        return {}


def test_a_client_that_floods_and_never_reads_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.control_connection.STALL_S", 0.3)

    async def act(path: Path, _: RememberingService) -> None:
        flood = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        flood.connect(str(path))
        flood.setblocking(False)
        ask = b'{"jsonrpc":"2.0","id":1,"method":"snapshot"}\n' * 200

        async def pour() -> None:
            while True:
                try:
                    flood.send(ask)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
                except OSError:
                    return

        pouring = asyncio.create_task(pour())
        async with await GuardClient.connect(path) as client:
            for _n in range(50):
                await client.call("hello")
            await pouring
        flood.close()

    _run(tmp_path, act, outlets=300)


def test_the_socket_is_for_its_group_alone_and_goes_when_the_guard_stops(tmp_path: Path) -> None:
    modes: list[int] = []

    async def act(path: Path, _: RememberingService) -> None:
        modes.append(path.lstat().st_mode)  # noqa: ASYNC240 - nothing else runs here

    _run(tmp_path, act)
    assert stat.S_ISSOCK(modes[0])
    assert stat.S_IMODE(modes[0]) == 0o660
    assert not socket_path(tmp_path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_told_whom_to_be_and_a_member_of_the_group_may() -> None:
    ask = (
        "import os, sys; from pathlib import Path; from gateway.link.once import call_once;"
        "os.setgroups([int(g) for g in sys.argv[2:]]); os.setgid(65534); os.setuid(65534);"
        "print(call_once(Path(sys.argv[1]), 'hello')['site'])"
    )

    def ask_as_nobody(path: Path, *groups: str) -> str:
        child = subprocess.run(
            [sys.executable, "-c", ask, path, *groups],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return (child.stdout + child.stderr).strip().splitlines()[-1]

    async def main() -> None:
        service = RememberingService.of(1)
        async with listening(state_dir, service, "daemon") as (path, _):
            assert "may not speak to the guard" in await asyncio.to_thread(ask_as_nobody, path)
            assert await asyncio.to_thread(ask_as_nobody, path, daemon) == "demo"
            # Where file modes do not keep a stranger out, the guard does.
            path.chmod(0o666)
            answer = await asyncio.to_thread(ask_as_nobody, path, "4321")
            assert "NotAllowed" in answer
            assert "join the group daemon" in answer

    daemon = str(grp.getgrnam("daemon").gr_gid)
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder)
        state_dir.chmod(0o755)
        asyncio.run(main())


def test_a_group_that_does_not_exist_is_an_error_of_the_installation(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "guard.db")
    server = ControlServer(tmp_path, "no-such-group", RememberingService(), journal)
    with pytest.raises(FixInstallation, match="groupadd no-such-group"):
        server.bind()
    asyncio.run(journal.close())


def test_a_socket_left_by_a_dead_guard_is_taken_over_and_a_live_one_is_not(
    tmp_path: Path,
) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(socket_path(tmp_path)))
    left.close()

    async def act(path: Path, service: RememberingService) -> None:
        journal = Journal(tmp_path / "other.db")
        second = ControlServer(tmp_path, None, service, journal)
        with pytest.raises(FixInstallation, match="another guard is running"):
            second.bind()
        await journal.close()
        assert (await asyncio.to_thread(call_once, path, "hello"))["site"] == "demo"

    _run(tmp_path, act)


def test_what_is_not_a_socket_is_never_removed(tmp_path: Path) -> None:
    socket_path(tmp_path).write_text("precious")
    journal = Journal(tmp_path / "guard.db")
    with pytest.raises(FixInstallation, match="not a socket"):
        ControlServer(tmp_path, None, RememberingService(), journal).bind()
    asyncio.run(journal.close())
    assert socket_path(tmp_path).read_text() == "precious"


def test_a_path_too_long_for_the_kernel_works_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "state"
    deep.mkdir(parents=True)
    assert len(str(socket_path(deep))) > LONGEST_ADDRESS_BYTES

    async def act(path: Path, _: RememberingService) -> None:
        assert (await asyncio.to_thread(call_once, path, "hello"))["site"] == "demo"
        async with await GuardClient.connect(path) as client:
            assert (await client.call("hello"))["site"] == "demo"

    _run(deep, act)


def test_one_state_directory_has_one_guard(tmp_path: Path) -> None:
    with (
        StateLock(tmp_path),
        pytest.raises(FixInstallation, match=f"process {os.getpid()}"),
    ):
        StateLock(tmp_path)
    StateLock(tmp_path).release()


def test_the_lock_of_a_killed_guard_is_free(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path;"
        "from gateway.guard.state_lock import StateLock; lock = StateLock(Path(sys.argv[1]));"
        "print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(FixInstallation, match=f"process {child.pid}"):
        StateLock(tmp_path)
    child.kill()
    child.wait(30)
    child.stdout.close()
    StateLock(tmp_path).release()


def test_an_absent_guard_a_dead_one_and_a_stranger_are_told_apart(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with pytest.raises(FixInstallation, match="guard is not running"):
        call_once(path, "hello")
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    with pytest.raises(FixInstallation, match="guard is not running"):
        asyncio.run(GuardClient.connect(path))


def test_a_guard_that_hangs_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as hung:
        hung.bind(str(path))
        hung.listen(8)
        with pytest.raises(TryLater, match=r"did not answer within 0\.2 s"):
            call_once(path, "hello", timeout_s=0.2)

        async def ask() -> None:
            async with await GuardClient.connect(path) as client:
                with pytest.raises(TryLater, match=r"did not answer within 0\.2 s"):
                    await client.call("hello", timeout_s=0.2)

        asyncio.run(ask())


def test_a_request_too_long_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        async with await GuardClient.connect(path) as client:
            with pytest.raises(CorrectInput, match="65536 bytes"):
                await client.call("snapshot", outlets=["x" * 100] * 1_000)
            assert (await client.call("hello"))["site"] == "demo"

    _run(tmp_path, act)


def test_not_allowed_reaches_a_client_as_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlServer, "_peer", lambda *_: (1, False))

    async def act(path: Path, _: RememberingService) -> None:
        with pytest.raises(NotAllowed, match="guard's user or root"):
            await asyncio.to_thread(call_once, path, "hello")
        async with await GuardClient.connect(path) as client:
            with pytest.raises(NotAllowed, match="guard's user or root"):
                await client.call("hello")

    _run(tmp_path, act)
