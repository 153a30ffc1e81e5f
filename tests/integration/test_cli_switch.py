"""The switching commands against a fake guard on a real socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.core.errors import NotKnown, Refused, TryLater
from gateway.link.messages import BusView, OutletState
from gateway.link.requests import BusesAnswer, OnAnswer
from tests.integration.cli_fake_guard import FakeGuard, fact, fake_guard, view

UNTIL = 4_102_444_800_000  # far in the future


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGuard]:
    monkeypatch.setenv("PILEGATE_STATE_DIR", str(tmp_path))
    with fake_guard(tmp_path) as fake:
        yield fake


def granted(params: dict[str, object]) -> dict[str, object]:
    return {
        "lease_id": "l1",
        "until_utc_ms": UNTIL,
        "request_id": params["request_id"],
        "duplicate": False,
    }


def test_on_waits_for_the_fact_and_prints_the_verdict(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(params: dict[str, object]) -> dict[str, object]:
        guard.facts.append(fact(8, "outlet.on", outlet="n1-1", request_id="somebody else's"))
        guard.facts.append(fact(9, "outlet.on", outlet="n1-3", request_id=params["request_id"]))
        return granted(params)

    guard.answers["on"] = answer
    guard.views = [view("n1-3", state=OutletState.ON, relay_on=True, power_w=187.4)]
    assert run(["on", "n1-3", "--for", "1h30m", "--energy-wh", "500", "--power-w", "300"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("n1-3 is on until 2100-01-01")
    assert out.endswith(", 187 W\n")
    assert err == ""
    sent = guard.params("on")
    assert (sent["outlet"], sent["for_s"], sent["energy_wh"], sent["power_w"]) == (
        "n1-3",
        5400.0,
        500.0,
        300.0,
    )
    assert sent["actor"].startswith("cli:")
    assert len(sent["actor"]) > len("cli:")


@pytest.mark.parametrize(
    ("kind", "reason"), [("lease.ended", "no_reaction"), ("request.refused", "bus_lost")]
)
def test_on_says_why_the_outlet_did_not_come_on(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str], kind: str, reason: str
) -> None:
    def answer(params: dict[str, object]) -> dict[str, object]:
        guard.facts.append(fact(8, kind, reason, outlet="n1-3", request_id=params["request_id"]))
        return granted(params)

    guard.answers["on"] = answer
    assert run(["on", "n1-3", "--for", "2h"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"pilegate: n1-3 did not come on: {reason}\n"


def test_on_that_nothing_shows_ends_after_its_timeout(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["on"] = granted
    assert run(["on", "n1-3", "--for", "2h", "--timeout", "0.2s"]) == 1
    assert "nothing shows it on after 0.2 s" in capsys.readouterr().err


def test_on_without_waiting_follows_nothing(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["on"] = granted
    assert run(["on", "n1-3", "--for", "2h", "--no-wait"]) == 0
    assert guard.methods() == ["on"]
    assert capsys.readouterr().out.startswith("n1-3 is told to go on until ")


def test_a_refusal_is_one_line_and_status_one(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["on"] = Refused("n1-3 is cut for overpower: reset it first", code="latched")
    assert run(["on", "n1-3", "--for", "2h"]) == 1
    assert capsys.readouterr().err == "pilegate: n1-3 is cut for overpower: reset it first\n"


def test_an_unknown_outlet_is_wrong_input(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["on"] = NotKnown("no outlet 'n9-9': see pilegate outlets")
    assert run(["on", "n9-9", "--for", "2h"]) == 2
    assert capsys.readouterr().err == "pilegate: no outlet 'n9-9': see pilegate outlets\n"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("n1-3", {"kind": "outlet", "id": "n1-3"}),
        ("outlet/site", {"kind": "outlet", "id": "site"}),
        ("pile/n1", {"kind": "pile", "id": "n1"}),
        ("station/north", {"kind": "station", "id": "north"}),
        ("site", {"kind": "site", "id": "demo"}),
        ("site/other", {"kind": "site", "id": "other"}),
    ],
)
@pytest.mark.parametrize("command", ["off", "reset", "lock", "unlock"])
def test_targets(guard: FakeGuard, command: str, text: str, target: dict[str, str]) -> None:
    guard.answers[command] = {"outlets": [{"outlet": "n1-3", "result": "done"}]}
    assert run([command, text, "--reason", "test"]) == 0
    sent = guard.params(command)
    assert sent["target"] == target
    assert sent["reason"] == "test"
    assert "on_site" not in sent


def test_reset_on_site(guard: FakeGuard) -> None:
    guard.answers["reset"] = {"outlets": [{"outlet": "n1-3", "result": "done"}]}
    assert run(["reset", "n1-3", "--on-site"]) == 0
    assert guard.params("reset")["on_site"] is True


def test_what_was_done_refused_and_needless_is_told_apart(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["reset"] = {
        "outlets": [
            {"outlet": "n1-1", "result": "done"},
            {"outlet": "n1-2", "result": "nothing_to_do"},
            {"outlet": "n1-3", "result": "refused", "message": "welded: needs --on-site"},
        ]
    }
    assert run(["reset", "pile/n1"]) == 1
    out, err = capsys.readouterr()
    assert out == "released: n1-1\n"
    assert err == "pilegate: reset of pile/n1 was refused for n1-3: welded: needs --on-site\n"


def test_nothing_to_do_is_success(guard: FakeGuard, capsys: pytest.CaptureFixture[str]) -> None:
    guard.answers["off"] = {"outlets": [{"outlet": "n1-1", "result": "nothing_to_do"}]}
    assert run(["off", "n1-1"]) == 0
    assert capsys.readouterr().out == "n1-1: was off already\n"


def test_outlets_as_json_walks_all_pages(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.views = [view(f"n1-{number}") for number in range(1, 6)]
    assert run(["outlets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["outlet"] for row in rows] == ["n1-1", "n1-2", "n1-3", "n1-4", "n1-5"]
    assert guard.methods() == ["snapshot"] * 3


def test_outlets_of_one_pile(guard: FakeGuard, capsys: pytest.CaptureFixture[str]) -> None:
    guard.views = [view("n1-1"), view("n2-1", state=OutletState.CUT), view("n2-2")]
    assert run(["outlets", "pile/n2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["outlet", "n2-1", "n2-2"]
    assert run(["outlets", "pile/n3"]) == 2
    assert run(["outlets", "site/elsewhere"]) == 2


def test_a_guard_that_asks_for_patience_is_not_reachable(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.answers["off"] = TryLater("the journal is full: try again in 5 s")
    assert run(["off", "n1-1"]) == 3
    assert capsys.readouterr().err == "pilegate: the journal is full: try again in 5 s\n"


def test_no_guard_is_status_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PILEGATE_STATE_DIR", str(tmp_path))
    for command in (["off", "n1-1"], ["outlets"], ["on", "n1-1", "--for", "1h"]):
        assert run(command) == 3
        err = capsys.readouterr().err
        assert "guard is not running" in err
        assert err.count("\n") == 1


def test_events_go_on_over_the_socket(
    guard: FakeGuard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["events"]) == 1
    err = capsys.readouterr().err
    assert str(tmp_path / "guard.db") in err
    assert err.count("\n") == 1
    assert guard.methods() == []


def test_off_imports_nothing_that_is_slow(guard: FakeGuard, tmp_path: Path) -> None:
    guard.answers["off"] = {"outlets": [{"outlet": "n1-1", "result": "done"}]}
    site = tmp_path / "site.yaml"
    site.write_text(f"site: {{id: demo}}\nstate_dir: '{tmp_path}'\n", encoding="utf-8")
    program = (
        "import sys; from gateway.cli import run; "
        f"assert run(['--site', {str(site)!r}, 'off', 'n1-1']) == 0; "
        "slow = {'asyncio', 'pydantic', 'rich', 'sqlalchemy', 'pymodbus', 'uvloop', 'sqlite3'}; "
        "assert not slow & set(sys.modules), slow & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert guard.params("off")["target"] == {"kind": "outlet", "id": "n1-1"}


@pytest.fixture
def other(tmp_path: Path, guard: FakeGuard) -> Path:
    """Give the file of another site than the one that the guard keeps."""
    guard.views = [view("n1-3")]
    path = tmp_path / "other.yaml"
    path.write_text("site: {id: other}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "arguments", [["on", "n1-3", "--for", "1h"], ["unlock", "n1-3"], ["reset", "n1-3"]]
)
def test_nothing_is_allowed_in_a_site_that_is_not_meant(
    guard: FakeGuard, other: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["--site", str(other), *arguments]) == 2
    err = capsys.readouterr().err
    assert f"keeps site demo, and {other} is of site other: correct --site" in err
    assert set(guard.methods()) == {"hello"}


@pytest.mark.parametrize("command", ["off", "lock"])
def test_what_makes_safe_is_done_first(
    guard: FakeGuard, other: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    guard.answers[command] = {"outlets": [{"outlet": "n1-3", "result": "done"}]}
    assert run(["--site", str(other), command, "n1-3"]) == 0
    out, err = capsys.readouterr()
    assert "n1-3" in out
    assert "keeps site demo, and" in err


def test_a_table_of_another_site_says_so_and_has_no_blanks_at_the_ends(
    guard: FakeGuard, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard.views
    assert run(["--site", str(other), "outlets"]) == 0
    out, err = capsys.readouterr()
    assert "keeps site demo, and" in err
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert run(["outlets"]) == 0
    assert capsys.readouterr().err == ""


def test_a_table_with_silent_outlets_says_which_bus_is_lost(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    guard.views = [view("n1-3", stale=True)]
    buses = [
        BusView(bus="line1", kind="modbus-rtu", state="lost", detail="/dev/x does not exist"),
        BusView(bus="net1", kind="modbus-tcp", state="open", detail="192.0.2.1:502"),
    ]
    guard.answers["buses"] = BusesAnswer(tuple(buses), ()).to_json()
    assert run(["outlets"]) == 0
    out, err = capsys.readouterr()
    assert "never measured" in out
    assert err == "pilegate: bus line1 is lost: /dev/x does not exist\n"


def test_circuits_are_shown_as_a_tree_with_who_waits(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {
        "name": "x",
        "power_w": 900.0,
        "current_a": 3.9,
        "counted_w": 1000.0,
        "counted_a": 4.3,
        "limit_a": None,
        "known_by": "sum",
        "running": 3,
        "waiting": [],
        "contactor": None,
        "opened_reason": None,
        "opened_utc_ms": None,
    }
    main = {**shown, "circuit": "main", "parent": None, "state": "full", "limit_w": 1000.0}
    north = {**shown, "circuit": "north", "parent": "main", "state": "opened", "limit_w": None}
    guard.answers["circuits"] = {
        "circuits": [
            {**main, "waiting": ["n1-4", "n1-5"]},
            {**north, "contactor": "open", "opened_reason": "welded", "opened_utc_ms": 1},
        ]
    }
    assert run(["circuits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [
        "main",
        "full",
        "900",
        "W",
        "1000",
        "W",
        "3",
        "2",
        "waiting:",
        "n1-4,",
        "n1-5",
    ]
    assert lines[2].startswith("  north  opened")
    assert "opened: welded; reset circuit/north on site" in lines[2]
    assert run(["circuits", "--json"]) == 0
    assert '"circuit":"main"' in capsys.readouterr().out
    guard.answers["circuits"] = {"circuits": []}
    assert run(["circuits"]) == 0
    assert "no circuits" in capsys.readouterr().out


def test_an_on_that_waits_for_room_says_so_and_does_not_wait(
    guard: FakeGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = OnAnswer(lease_id="l", until_utc_ms=4_000_000_000_000, request_id="r", duplicate=False)
    guard.answers["on"] = {**answer.to_json(), "waits_for": "north"}
    assert run(["on", "n1-3", "--for", "1h"]) == 0
    assert "n1-3 waits for room on circuit north, until" in capsys.readouterr().out
