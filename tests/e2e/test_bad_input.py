"""Wrong files, taken ports, disks that can't be written: one clear line each, no traceback."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.support.namespace import IN_NAMESPACE, need_namespace, tell
from tests.support.run_command import one_line, pilegate, running, wait_for_text
from tests.support.run_hostile import LINES, REQUESTS, Silent, flood, send_line
from tests.support.run_site import write_site
from tests.support.run_stage import PATIENT, SITES, Stage, on_stage, play, until

MALFORMED = "site: {id: bad\n  name: ["
WRONG = """\
site: {id: bad, name: x, colour: red}
buzes: []
buses: [{id: l1, kind: modbus-rtu, port: 5, baud: -3}]
devices: []
stations: []
limits: {overcurrent: {above_a: -4}, silence: {delay_s: soon}}
"""


WRONGS = [
    r":1: site\.colour: unknown key.*",
    r":2: buzes: unknown key; did you mean buses\?",
    r":3: buses\[0\]\.port: .*",
    r":3: buses\[0\]\.baud: .*-3.*",
    r":6: limits\.overcurrent\.above_a: .*",
    r":6: limits\.silence\.delay_s: .*'soon'.*",
]


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        ("check", WRONG, WRONGS),
        ("guard", WRONG, WRONGS),
        ("serve", WRONG, WRONGS),
        ("run", WRONG, WRONGS),
        ("check", MALFORMED, [r":2: not valid YAML: .*"]),
        ("check", "[" * 100_000, [r":1: nested deeper than .*"]),
        ("check", "\x00\x01", [r":\d: .*"]),
        ("guard", "", [r":1: the file is empty.*"]),
    ],
    ids=["check", "guard", "serve", "run", "malformed", "deep", "binary", "empty"],
)
def test_a_wrong_site_file_is_told_by_file_line_and_key(
    tmp_path: Path, command: str, text: str, expected: list[str]
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(text)
    arguments = ["check", path] if command == "check" else ["--site", path, command]
    done = pilegate(*arguments, cwd=tmp_path)
    assert done.status == 2, done
    assert "Traceback" not in done.err
    assert len(done.said) == len(expected), done
    for line, pattern in zip(done.said, expected, strict=True):
        assert re.fullmatch(re.escape(f"pilegate: {path}") + pattern, line), line
    assert not (tmp_path / "state").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site = write_site(tmp_path, api=port)
        done = pilegate("--site", site, "serve", cwd=tmp_path)
        assert f"127.0.0.1:{port} is taken" in one_line(done, 1)
        # The supervisor goes on with the guard, and tries serve again.
        log = tmp_path / "run.log"
        with running("--site", site, "run", cwd=tmp_path, log=log):
            wait_for_text(log, f"127.0.0.1:{port} is taken")
            wait_for_text(log, "guard is ready")
            other.close()
            wait_for_text(log, "API listens on")
        assert "Traceback" not in log.read_text()


def test_a_newer_journal_stops_the_guard_and_not_serve(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    (tmp_path / "state").mkdir()
    with sqlite3.connect(tmp_path / "state" / "guard.db") as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("CREATE TABLE facts (a)")
    db.close()
    line = one_line(pilegate("--site", site, "guard", cwd=tmp_path), 1)
    assert "guard.db: was written by a newer pilegate (schema 99" in line
    log = tmp_path / "serve.log"
    with running("--site", site, "serve", cwd=tmp_path, log=log):
        wait_for_text(log, "API listens on")
        wait_for_text(log, "was written by a newer pilegate (schema 99")
    assert "Traceback" not in log.read_text()


def test_a_newer_business_database_stops_serve(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    made = pilegate("--site", site, "token", "create", "me", "--role", "viewer", cwd=tmp_path)
    assert made.status == 0, made
    with sqlite3.connect(tmp_path / "state" / "serve.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    for command in (["serve"], ["token", "create", "you", "--role", "viewer"]):
        line = one_line(pilegate("--site", site, *command, cwd=tmp_path), 1)
        assert "is of a newer version (9999)" in line


@pytest.mark.parametrize("command", ["guard", "serve"])
@pytest.mark.parametrize("what", ["noise", "folder"])
def test_what_is_no_database_is_told(tmp_path: Path, command: str, what: str) -> None:
    site = write_site(tmp_path)
    file = tmp_path / "state" / f"{command}.db"
    if what == "noise":
        file.parent.mkdir()
        file.write_bytes(b"\x5a\xa5 noise" * 2_000)
    else:
        file.mkdir(parents=True)
    line = one_line(pilegate("--site", site, command, cwd=tmp_path), 1)
    assert str(file) in line


@pytest.mark.parametrize("command", ["guard", "serve"])
def test_a_file_in_place_of_the_state_directory_is_told(tmp_path: Path, command: str) -> None:
    site = write_site(tmp_path)
    (tmp_path / "state").touch()
    assert str(tmp_path / "state") in one_line(pilegate("--site", site, command, cwd=tmp_path), 1)


def test_a_second_guard_on_the_same_directory_is_told(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    log = tmp_path / "guard.log"
    with running("--site", site, "guard", cwd=tmp_path, log=log) as first:
        wait_for_text(log, "guard is ready")
        line = one_line(pilegate("--site", site, "guard", cwd=tmp_path), 1)
        assert f"another guard is running on it (process {first.pid})" in line


# Disks: in a mount namespace of their own, where this user may have one.


@pytest.mark.parametrize(
    ("command", "used"), [("guard", False), ("serve", False), ("guard", True), ("serve", True)]
)
def test_a_disk_that_is_read_only_is_told(tmp_path: Path, command: str, used: bool) -> None:
    need_namespace(tmp_path)
    site = write_site(tmp_path)
    state = tmp_path / "state"
    state.mkdir()
    if used:
        log = tmp_path / "run.log"
        with running("--site", site, "run", cwd=tmp_path, log=log):
            wait_for_text(log, "API listens on")
            wait_for_text(log, "guard is ready")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    prefix = [*IN_NAMESPACE, "sh", "-c", script, str(state)]
    line = one_line(pilegate("--site", site, command, cwd=tmp_path, prefix=prefix), 1)
    assert str(state) in line
    assert re.search("read-only|writ", line, re.IGNORECASE), line


@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_on_a_full_disk_the_guard_goes_on_cutting(tmp_path: Path) -> None:
    """The story is told in a process of its own: see tests/support/run_full_disk.py."""
    need_namespace(tmp_path)
    tell("tests.support.run_full_disk", tmp_path)


# Hostile clients of a guard and a serve that are at work.


@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_hostile_clients_get_errors_and_keep_nobody_from_cutting(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        for outlet in LEASED:
            await stage.call("on", outlet=outlet, for_s=600, actor="test", reason="hostile")
        await until("they are on", lambda: all_on(stage, LEASED), within_s=60)
        before = {outlet: view.lease for outlet, view in (await stage.views()).items()}
        facts = (await stage.call("hello"))["seq"]
        await bad_lines(stage)
        await bad_requests(stage)
        assert (await stage.call("hello"))["seq"] == facts, "a bad request had an effect"
        assert {o: v.lease for o, v in (await stage.views()).items()} == before
        await crowds(stage)
        for name in ("guard", "serve"):
            assert "Traceback" not in stage.programs.log(name), stage.programs.log(name)

    async def main() -> None:
        async with on_stage(tmp_path, SITES / "demo-both.yaml", limits=PATIENT) as stage:
            await play(stage, story)

    asyncio.run(main())


LEASED = ["n1-1", "n1-2", "n2-1", "n2-2"]


async def all_on(stage: Stage, outlets: list[str]) -> bool:
    views = await stage.views()
    return all(views[outlet].state == "on" for outlet in outlets)


async def bad_lines(stage: Stage) -> None:
    """Each bad line is answered by an error with a code; where a field is wrong, it is named."""
    for line in LINES:
        answers = await send_line(stage.place.socket, line)
        assert len(answers) == line.count(b"\n"), (line[:80], answers)
        for answer in answers:
            assert isinstance(answer["error"]["code"], int), (line[:80], answer)
            message = answer["error"]["message"]
            assert 0 < len(message) < 300, (line[:80], message)
            assert answer["error"]["code"] != -32603, (line[:80], answer)
    answer = (await send_line(stage.place.socket, LINES[-20]))[0]
    assert answer["error"]["data"].get("field"), answer


async def bad_requests(stage: Stage) -> None:
    """Each bad request is answered by a problem; where a field is wrong, it is named."""
    url = stage.api.url
    headers = {"Authorization": f"Bearer {stage.session.token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        for bad in REQUESTS:
            response = await client.request(
                bad.method,
                bad.path,
                content=bad.content,
                headers={"Content-Type": bad.kind, "Idempotency-Key": "bad"},
            )
            told = (bad.method, bad.path[:60], bad.content[:60], response.status_code)
            assert 400 <= response.status_code < 500, (told, response.text[:500])
            assert response.headers["content-type"] == "application/problem+json", told
            document = response.json()
            assert document["status"] == response.status_code, told
            if bad.field is not None:
                fields = [error["field"] for error in document["errors"]]
                assert bad.field in fields, (told, document)


async def crowds(stage: Stage) -> None:
    """Crowded and flooded, the guard goes on cutting; when they are gone, others are answered."""
    silent = Silent()
    socket_path = stage.place.socket
    flooding = [
        asyncio.create_task(flood(socket_path, data, 2_000))
        for data in (b"x" * 60_000, b'{"jsonrpc":"2.0","id":1,"method":"snapshot"}\n' * 500)
    ]
    await silent.open(socket_path, 100)
    await silent.open_tcp(stage.place.api_host, stage.place.api_port, 100)
    for outlet in ("n1-1", "n2-1"):
        stage.say(load_step=outlet, power_w=3_000)
    await until("both are cut by a frame", lambda: cut_by_frame(stage), within_s=60)
    silent.dribble(b":")
    # Serve keeps its connection to the guard: commands get through, however crowded it is.
    body = {"action": "off", "target": {"kind": "outlet", "id": "n1-2"}, "reason": "hostile"}
    answer = await stage.api.request("POST", "/v1/commands?wait=20", body, timeout_s=30)
    assert (answer.status, answer.body["state"]) == (200, "succeeded"), answer
    silent.close()
    for task in flooding:
        task.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    shown = await until("others are answered", stage.views, within_s=60)
    assert shown["n2-2"].state == "on"
    assert shown["n1-1"].latch is not None


async def cut_by_frame(stage: Stage) -> bool:
    off = {r["outlet"] for r in stage.records.relay if not r["on"] and r["by"] == "frame"}
    return {"n1-1", "n2-1"} <= off
