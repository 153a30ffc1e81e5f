"""``pilegate flights`` and the replay of what it exports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import run
from gateway.guard.events import RequestOff
from gateway.guard.journal import Journal
from gateway.guard.limits import AboveCurrent
from gateway.link.journal import journal_path
from tests.support.flights import record_cut_offs
from tests.support.recorded import AFTER_S, LIMITS, Recorded, played
from tests.support.shed import small_site

TRACES = Path(__file__).parents[2] / "config" / "traces"
OUTLETS = ("n1-1", "n1-2", "n1-1")


def state(folder: Path, *outlets: str) -> str:
    """Make a state directory with a record of each outlet."""

    async def main() -> None:
        journal = Journal(journal_path(folder))
        journal.start()
        await record_cut_offs(journal, *outlets)

    asyncio.run(main())
    return str(folder)


Out = Callable[[], str]


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return lambda: capsys.readouterr().out


def test_the_list_is_newest_first(tmp_path: Path, out: Out) -> None:
    where = state(tmp_path, *OUTLETS)
    assert run(["--state-dir", where, "flights"]) == 0
    lines = out().splitlines()
    assert [line.split()[0] for line in lines] == ["5", "3", "1"]
    assert "outlet.cut" in lines[0]
    assert "n1-1  overpower  10 samples" in lines[0]
    assert run(["--state-dir", where, "flights", "n1-1", "--json"]) == 0
    assert [json.loads(line)["seq"] for line in out().splitlines()] == [5, 1]
    assert run(["--state-dir", where, "flights", "--last", "1"]) == 0
    assert len(out().splitlines()) == 1
    assert run(["--state-dir", where, "flights", "--kind", "outlet.alarm"]) == 0
    assert out() == "no flight records\n"


def test_one_is_found_by_any_of_its_facts(tmp_path: Path, out: Out) -> None:
    where = state(tmp_path, *OUTLETS)
    for number in ("3", "4"):
        assert run(["--state-dir", where, "flights", number]) == 0
        assert out().split()[0] == "3"
    assert run(["--state-dir", where, "flights", "99"]) == 2


def test_records_are_exported_as_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = state(tmp_path / "state", *OUTLETS)
    assert run(["--state-dir", where, "flights", "3", "--export", "-"]) == 0
    header, *rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (header["pilegate_flight"], header["outlet"], len(rows)) == (1, "n1-2", 10)
    file = tmp_path / "all.jsonl"
    assert run(["--state-dir", where, "flights", "--export", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert text.count("pilegate_flight") == 3
    assert run(["--state-dir", where, "flights", "--export", str(file)]) == 2
    assert "exists: choose another name" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == text
    nothing = tmp_path / "none.jsonl"
    assert run(["--state-dir", where, "flights", "n9-9", "--export", str(nothing)]) == 1
    assert not nothing.exists()


# Replay


def write(path: Path, *machines: Recorded) -> Path:
    lines = [line for machine in machines for line in machine.record().lines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def overload() -> Recorded:
    return played((180, 150), (4_500, 1), (0, AFTER_S + 1))


@pytest.fixture(scope="module")
def pulled() -> Recorded:
    return played((180, 150), (0, 31 + AFTER_S))


def test_records_replayed_end_as_they_did(
    tmp_path: Path, out: Out, overload: Recorded, pulled: Recorded
) -> None:
    file = write(tmp_path / "some.jsonl", overload, pulled)
    assert run(["replay", str(file)]) == 0
    lines = out().splitlines()
    assert "cut: overcurrent_instant; the same" in lines[0]
    assert "off: unplugged; the same" in lines[1]
    assert lines[-1] == "2 flight records: 2 the same"
    table = [line.split() for line in lines[2:-1]]
    assert ["off:", "unplugged", "off:", "unplugged", "1"] in table


def test_a_limit_is_tried_on_a_record(tmp_path: Path, out: Out, overload: Recorded) -> None:
    file = str(write(tmp_path / "one.jsonl", overload))
    loose = ["--set", "overcurrent_instant=null", "--set", "overpower=null"]
    assert run(["replay", file, *loose, "--json"]) == 1
    found = json.loads(out())
    assert (found["replayed"], found["same"]) == (None, False)
    assert run(["replay", file, "--set", "overcurrent_instant.above_a=0.5", "--json"]) == 1
    found = json.loads(out())
    assert found["replayed"]["reason"] == "overcurrent_instant"
    assert not found["same"], "the same reason, but sooner"
    assert found["replayed"]["later_s"] < -80


def test_a_folder_holds_both_kinds(tmp_path: Path, out: Out, overload: Recorded) -> None:
    write(tmp_path / "b.jsonl", overload)
    csv = "seconds,power_w\n" + "".join(f"{second},180\n" for second in range(20))
    (tmp_path / "a.csv").write_text(csv)
    (tmp_path / "note.txt").write_text("not mine")
    assert run(["replay", str(tmp_path)]) == 0
    text = out()
    assert "a.csv" in text
    assert "b.jsonl" in text
    assert text.splitlines()[-1] == "1 flight records: 1 the same"


def test_an_end_that_was_asked_for_is_no_difference(tmp_path: Path, out: Out) -> None:
    machine = played((180, 150))
    machine.feed(RequestOff(actor="tester"))
    machine.course(0, AFTER_S + 1)
    assert run(["replay", str(write(tmp_path / "one.jsonl", machine))]) == 0
    assert "off: requested; asked for, and nothing else came before it" in out()


def test_todays_limits_of_its_outlet(tmp_path: Path, out: Out) -> None:
    limits = replace(LIMITS, overcurrent_instant=AboveCurrent(above_a=5.0))
    machine = played((180, 150), (1_500, 1), (0, AFTER_S + 1), limits=limits)
    file = str(write(tmp_path / "one.jsonl", machine))
    assert run(["replay", file]) == 0, "with the limits it was recorded under"
    out()
    site = str(small_site(tmp_path).file)
    assert run(["--site", site, "replay", file]) == 1
    assert "cut: overcurrent_instant; now goes on" in out()
    assert run(["--site", site, "replay", file, "--set", "overcurrent_instant.above_a=5"]) == 0


def test_an_outlet_that_the_site_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overload: Recorded
) -> None:
    file = write(tmp_path / "one.jsonl", overload)
    file.write_text(file.read_text().replace('"n1-1"', '"z9"'))
    site = str(small_site(tmp_path).file)
    assert run(["--site", site, "replay", str(file)]) == 2
    assert f"{file}:1: outlet: no outlet 'z9' in site shed" in capsys.readouterr().err
    assert run(["--site", site, "replay", str(file), "--outlet", "n1-1"]) == 0


def _with(key: str, value: Any) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        lines[0] = json.dumps({**json.loads(lines[0]), key: value})

    return change


def _line(number: int, text: str) -> Callable[[list[str]], None]:
    def change(lines: list[str]) -> None:
        lines[number - 1] = text

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_with("pilegate_flight", 2), ":1: pilegate_flight: was written by a newer pilegate"),
        (_with("pilegate_flight", "x"), ":1: pilegate_flight: 'x' is no version"),
        (_with("outlet", 5), ":1: outlet: is missing or of another type"),
        (_with("at_ms", True), ":1: at_ms: is missing or of another type"),
        (_with("state", {"phase": "on"}), ":1: can't be replayed: TypeError"),
        (_with("kind", "outlet.flew"), ":1: can't be replayed: ValueError"),
        (_with("limits", {"overpowr": {}}), ":1: limits.overpowr: unknown rule"),
        (_line(1, "{"), ":1: is no JSON"),
        (_line(1, '{"at_ms": 1, "utc_ms": 1}'), ":1: stands before any header"),
        (_line(3, "[1]"), ":3: is no JSON object"),
        (_line(3, '{"at_ms": 1}'), ":3: utc_ms: must be a whole number"),
        (_line(3, '{"at_ms": 1, "utc_ms": 1, "power_w": "9"}'), ":3: power_w: must be a number"),
        (_line(3, '{"at_ms": 1, "utc_ms": 1, "alarm": 1}'), ":3: alarm: must be true or false"),
        (_line(3, '{"at_ms": 1, "utc_ms": 1, "quality": "?"}'), ":3: quality: is none of"),
        (_line(3, '{"at_ms": 1e400, "utc_ms": 1}'), ":3: at_ms: must be a whole number"),
        (_line(3, '{"power_w": NaN, "at_ms": 1, "utc_ms": 1}'), ":3: power_w: must be a number"),
        (_line(3, '{"x": "' + "y" * 1_000_000 + '"}'), ":3: is longer than 1000000 bytes"),
        (_line(3, "[" * 100_000), ":3: is no JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_and_the_rest_is_replayed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overload: Recorded,
    change: Callable[[list[str]], None],
    expected: str,
) -> None:
    lines = list(overload.record().lines())
    change(lines)
    (tmp_path / "bad.jsonl").write_text("\n".join([*lines, *overload.record().lines()]))
    assert run(["replay", str(tmp_path / "bad.jsonl")]) == 2
    captured = capsys.readouterr()
    assert f"bad.jsonl{expected}" in captured.err
    assert "Traceback" not in captured.err
    if "longer" not in expected:
        assert captured.out.splitlines()[-1] == "1 flight records: 1 the same"


def test_a_file_cut_off_in_the_middle_is_used_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overload: Recorded
) -> None:
    text = "\n".join(overload.record().lines())
    (tmp_path / "cut.jsonl").write_text(text[:-10])
    assert run(["replay", str(tmp_path / "cut.jsonl")]) == 2
    assert "is no JSON" in capsys.readouterr().err
    (tmp_path / "cut.jsonl").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert run(["replay", str(tmp_path / "cut.jsonl")]) == 0
