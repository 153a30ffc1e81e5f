"""``pilegate replay``: files, folders, limits to try, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import run

TRACES = Path(__file__).parents[2] / "config" / "traces"


def test_a_folder_of_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(TRACES)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == len(list(TRACES.glob("*.csv"))) + 1
    assert any("ebike-dual-pack" in line and "off: full after" in line for line in out)
    assert out[-1].startswith(f"{len(out) - 1} recordings: ")


def test_a_limit_is_tried_for_this_once(capsys: pytest.CaptureFixture[str]) -> None:
    kettle = str(TRACES / "appliance-kettle.csv")
    assert run(["replay", kettle, "--set", "overpower.above_w=1000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["end"], found["action"]) == ("overpower", "cut")
    assert run(["replay", kettle, "--set", "overpower=null", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["end"] is None


def test_the_limits_of_an_outlet(capsys: pytest.CaptureFixture[str]) -> None:
    site = Path(__file__).parents[2] / "config" / "sites" / "shed.yaml"
    kettle = str(TRACES / "appliance-kettle.csv")
    assert run(["--site", str(site), "replay", kettle, "--outlet", "nowhere"]) == 2
    assert "no outlet 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no rows: a line that names seconds and power_w"),
        ("# of today\n\n", "has no rows"),
        ("# of today\nseconds,watts\n", ":2: the first line must name power_w"),
        ("1,2,3\n", ":1: the first line must name seconds and power_w; it names '1, 2, 3'"),
        ("0,1\n1,much\n", ":2: power_w: 'much' is no number"),
        ("seconds,watts\n1,2\n", "the first line must name power_w"),
        ("seconds,power_w\n", "has no rows"),
        ("seconds,power_w\n0,1\n1,much\n", ":3: power_w: 'much' is no number"),
        ("seconds,power_w\n0,1\n1,nan\n", ":3: power_w: 'nan' is no number"),
        ("seconds,power_w\n5,1\n1,2\n", ":3: seconds: runs backwards"),
        ("seconds,power_w\n5\n", ":2: power_w: '' is no number"),
        ("\x00\x01", "must name"),
    ],
)
def test_files_that_are_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    good = TRACES / "appliance-kettle.csv"
    assert run(["replay", str(path), str(good)]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "appliance-kettle.csv" in captured.out, "the others are replayed all the same"
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("overpowr.above_w=1", "did you mean overpower"),
        ("overpower.above_w", "write RULE.FIELD=VALUE"),
        ("overpower.above_w=much", "overpower.above_w"),
        ("=1", "write RULE.FIELD=VALUE"),
        ("overpower.above_w={", "--set"),
    ],
)
def test_limits_that_are_none(
    capsys: pytest.CaptureFixture[str], change: str, expected: str
) -> None:
    assert run(["replay", str(TRACES), "--set", change]) == 2
    assert expected in capsys.readouterr().err


def test_a_file_with_more_columns_is_used_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "more.csv"
    lines = ["seconds,current_a,power_w,voltage_v,note"]
    lines += [f"{second},0.5,100,230," for second in range(30)]
    lines += [f"{second},,100,290,surge" for second in range(30, 40)]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    assert run(["replay", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["end"] == "overvoltage"
    assert 30 <= found["after_s"] <= 32


KETTLE = [(0, 0.0), (5, 1_990.5), (30, 1_990.5), (60, 0.0), (200, 0.0)]


def _rows(delimiter: str = ",", decimal: str = ".", end: str = "\n", quote: str = "") -> str:
    def cell(value: object) -> str:
        return f"{quote}{str(value).replace('.', decimal)}{quote}"

    rows = [(cell("seconds"), cell("power_w")), *((cell(s), cell(w)) for s, w in KETTLE)]
    return "".join(f"{delimiter.join(row)}{end}" for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        _rows(),
        _rows(end="\r\n"),
        _rows(";"),
        _rows(";", ","),
        _rows("\t"),
        _rows(quote='"'),
        "\ufeff" + _rows(";", ",", "\r\n", '"'),
        _rows().removeprefix("seconds,power_w\n"),
        _rows(";", ",").removeprefix("seconds;power_w\n"),
        _rows(";", ",").removeprefix("seconds;power_w\n").replace("0;0,0", "0,0;0,0", 1),
        "\n# a kettle, by hand\n\n" + _rows().replace("\n30,", "\n# again\n30,"),
        _rows().replace("seconds", " Seconds ").replace("power_w", "POWER_W"),
        _rows().replace("\n", "\n\n").replace("1990.5", "1.9905e3"),
        _rows().replace("5,1990.5", "5,3\n5,1990.5", 1),
        "seconds,power_w\n" + "".join(f"{1_790_000_000 + s}.25,{w}\n" for s, w in KETTLE),
        "when,seconds,note,power_w,x\n" + "".join(f"noon,{s},a b,{w}\n" for s, w in KETTLE),
    ],
)
def test_recordings_of_other_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert run(["replay", str(path), "--set", "overpower.above_w=1990", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["end"], found["highest_w"], found["lasts_s"]) == ("overpower", 1990.5, 200)
    assert found["after_s"] == pytest.approx(8, abs=0.01)


def test_a_recording_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(_rows("\t", ",", "\r\n").replace(",", "."), encoding="utf-16", newline="")
    assert run(["replay", str(path)]) == 0


def test_columns_that_are_not_used_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"seconds,power_w,Temp \xb0C\n0,5,20\xb0\n1,5,\xff\xfe\n")
    assert run(["replay", str(path)]) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Time,Power (W)\n1,2\n", ":1: the first line must name seconds and power_w; it names"),
        ("seconds,power_w,power_w\n1,2,3\n", ":1: the first line names power_w twice"),
        ("seconds,power_w\n0,1_0\n", ":2: power_w: '1_0' is no number"),
        ("seconds,power_w\n0,1\n2000000,1\n", ":3: seconds: is more than 12 days after"),
        ("seconds,power_w\n0,1\n1,\n2,1\n", ":3: power_w: '' is no number"),
        ("seconds;power_w\n0;1\n1;1,5,5\n", ":3: power_w: '1,5,5' is no number"),
        ("seconds,power_w\n0,1\n1,inf\n", ":3: power_w: 'inf' is no number"),
        ('seconds,power_w\n0,1\n1,"' + "x" * 200_000 + '"\n', ":3: is no CSV: field larger"),
    ],
)
def test_recordings_that_are_not_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert run(["replay", str(path)]) == 2
    assert f"a.csv{expected}" in capsys.readouterr().err


def test_a_long_gap_is_silence_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("seconds,power_w\n0,180\n10,180\n7200,180\n7300,180\n", encoding="utf-8")
    assert run(["replay", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["end"] is None
    assert run(["replay", str(path), "--longest-gap", "60s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["end"] == "silence"
    assert found["after_s"] == pytest.approx(80, abs=1.5)
