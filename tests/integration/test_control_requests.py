"""Requests on the guard's socket: every method answers, and what is no request says why."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import (
    FixInstallation,
    NotKnown,
    Refused,
)
from gateway.link.client import GuardClient
from gateway.link.once import call_once
from gateway.link.requests import BusesAnswer, HelloAnswer, SnapshotPage, verdicts_from_json
from gateway.link.rpc import LONGEST_REQUEST_BYTES
from tests.support.control import ON, Raw, RememberingService, play

SITE: dict[str, Any] = {"target": {"kind": "site", "id": "demo"}, "actor": "ann", "reason": "test"}


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

    play(tmp_path, act, with_uvloop=with_uvloop)


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

    play(tmp_path, act, outlets=450)


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

    play(tmp_path, act)


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

    play(tmp_path, act)


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

    play(tmp_path, act)


def test_a_line_without_end_is_refused_before_it_ends(tmp_path: Path) -> None:
    async def act(path: Path, _: RememberingService) -> None:
        raw = await Raw.to(path)
        raw.send(b"x" * 10_000_000)
        assert (await raw.line())["error"]["code"] == -32600
        await raw.close()
        call = await asyncio.to_thread(call_once, path, "hello")
        assert call["site"] == "demo"

    play(tmp_path, act)


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

    play(tmp_path, act)
