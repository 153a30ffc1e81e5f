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
        ("", "the first line must name seconds and power_w"),
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
