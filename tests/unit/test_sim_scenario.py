from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import CorrectFiles
from simulators.app import main
from simulators.loads import load_factory
from simulators.scenario import CommandStep, FaultStep, Scenario, parse_step, read_scenario
from simulators.trace import TracePlayer, read_trace
from tests.support.sim_world import ROOT, SCENARIOS, demo_bench

HEAD = "scenario: t\ntitle: T\nsite: site.yaml\nduration_s: 10\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    path = written(tmp_path, text)
    with pytest.raises(CorrectFiles) as wrong:
        read_scenario(path)
    return [str(problem).removeprefix(f"{path}:") for problem in wrong.value.problems]


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_scenarios_fit_both_sites(path: Path) -> None:
    scenario = read_scenario(path)
    assert scenario.scenario == path.stem
    assert (path.parent / scenario.site).is_file()
    for load in scenario.loads.values():
        assert load_factory(load, path.parent)(1).step(0.1, 230).power_w >= 0
    family = scenario.site.rpartition("-")[0].rpartition("/")[2]
    for site in (f"{family}-tcp.yaml", f"{family}-rtu.yaml"):
        world = demo_bench(ROOT / "config" / "sites" / site).world
        scenario.check_names(world.outlets, world.devices)


def test_all_single_topics_are_there() -> None:
    names = {path.stem for path in SCENARIOS.glob("*.yaml")}
    topics = {"overload", "slow-overload", "unplugged", "full", "dual-pack", "welded"}
    more = {"no-reaction", "no-load", "lease-over", "voltage", "silence", "noisy-line", "hot"}
    assert names >= {"demo"} | topics | more


def test_a_whole_scenario_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        HEAD
        + """
loads: {a: {kind: cc_cv, plateau_w: 90}}
steps:
  - {at_s: 1, plug: n1-1, load: a}
  - {at_s: 2, id: go, command: on, outlet: n1-1, for_s: 60}
  - {at_s: 3, command: off, outlet: n1-1, via: api}
  - {at_s: 3, command: lock, pile: n1}
  - {at_s: 4, fault: lost, device: m1, share: 0.5, for_s: 2}
expect:
  - {fact: outlet.on, outlet: n1-1, after: go, within_s: 3}
watch: [outlet.cut]
""",
    )
    scenario = read_scenario(path)

    kinds = [type(step).__name__ for step in scenario.steps]
    assert kinds == ["PlugStep", "CommandStep", "CommandStep", "CommandStep", "FaultStep"]
    on, off = scenario.steps[1], scenario.steps[2]
    assert isinstance(on, CommandStep)
    assert isinstance(off, CommandStep)
    # on and off are words here, not booleans
    assert (on.command, off.command) == ("on", "off")
    assert scenario.expect[0].about == "outlet/n1-1"


def test_everything_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """scenario: Not A Name
title: T
site: site.yaml
duration_s: -1
colour: red
loads:
  a: {kind: cc_cv, plateau_w: 0}
  b: {kind: fusion}
steps:
  - {at_s: 1, plug: n1-1}
  - {at_s: 1, jump: n1-1}
  - {at_s: 1, unplug: n1-1, fault: welded}
  - nothing
  - {at_s: x, unplug: n1-1}
expect:
  - {fact: outlet.exploded, within_s: 1}
  - {fact: outlet.cut}
""",
    )
    starts = [
        "1: scenario: ",
        "4: duration_s: ",
        "5: colour: is not a key here",
        "7: loads.a.plateau_w: ",
        "8: loads.b: ",
        "10: steps[0].load: is missing",
        "11: steps[1]: a step has one of plug, unplug, command",
        "12: steps[2]: a step has one of plug, unplug, command",
        "13: steps[3]: is a mapping",
        "14: steps[4].at_s: ",
        "16: expect[0].fact: ",
        "17: expect[1].within_s: is missing",
    ]
    assert len(told) == len(starts), told
    for line, start in zip(told, starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("steps:\n- {at_s: 1, plug: n1-1, load: b}", "6: steps[0].load: no load is called 'b'"),
        (
            "steps:\n- {id: a, unplug: x}\n- {id: a, unplug: x}",
            "7: steps[1].id: 'a' stands at another step, too",
        ),
        ("steps:\n- {at_s: 11, unplug: x}", "6: steps[0].at_s: is after the end (duration_s)"),
        (
            "expect: [{fact: outlet.cut, after: z, within_s: 1}]",
            "5: expect[0].after: no step has the id 'z'",
        ),
        (
            "expect: [{fact: outlet.cut, not_before_s: 2, within_s: 1}]",
            "5: expect[0].not_before_s: is after within_s",
        ),
        ("steps: {at_s: 1}", "5: steps: is a list of steps"),
        ("title: again", "5: title: stands here twice"),
        ("steps:\n- {command: on, outlet: a}", "6: steps[0]: on needs for_s"),
        (
            "steps:\n- {command: off}",
            "6: steps[0]: name one target: outlet, pile, station, circuit or site",
        ),
        ("steps:\n- {command: on, pile: a, for_s: 1}", "6: steps[0]: on is for one outlet"),
        (
            "steps:\n- {fault: welded, device: m1}",
            "6: steps[0]: welded is a fault of an outlet: name one",
        ),
        (
            "steps:\n- {fault: silent, outlet: a}",
            "6: steps[0]: silent is a fault of a device: name one",
        ),
    ],
)
def test_what_does_not_fit_together(tmp_path: Path, rest: str, told: str) -> None:
    assert problems(tmp_path, HEAD + rest) == [told]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b",
        "a: [1, 2",
        "a: *nowhere",
        "a: &a [*a]",
        "? [1, 2]\n: x",
        "a: !!python/object:os.system x",
        "a: \x00",
        "[" * 5000,
        "just words",
    ],
)
def test_files_that_are_no_scenario(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorrectFiles, match="can't be read"):
        read_scenario(tmp_path / "none.yaml")
    with pytest.raises(CorrectFiles, match="can't be read"):
        read_scenario(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"title: \xe9")
    with pytest.raises(CorrectFiles, match="UTF-8"):
        read_scenario(latin)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 1_100_000)
    with pytest.raises(CorrectFiles, match="larger"):
        read_scenario(huge)


def test_steps_by_standard_input() -> None:
    step = parse_step({"fault": "silent", "device": "m1", "for_s": 2})
    assert isinstance(step, FaultStep)
    bad: list[Any] = [[], 1, None, {}, {"unplug": 1}, {"unplug": "a", "x": 1}, {"fault": "odd"}]
    for data in bad:
        with pytest.raises(ValueError, match=r"\w"):
            parse_step(data)


def test_wrong_files_end_the_program_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, HEAD + "colour: red\nsize: big\n")
    assert main(["--scenario", str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"pilegate sim: {path}:5: colour: is not a key here",
        f"pilegate sim: {path}:6: size: is not a key here",
    ]
    path = written(tmp_path, HEAD)
    assert main(["--scenario", str(path)]) == 2
    assert "site.yaml: can't be read" in capsys.readouterr().err
    assert main(["--trace", "x.csv"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_step_for_an_outlet_that_the_site_lacks_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = ROOT / "config" / "sites" / "demo-tcp.yaml"
    path = written(tmp_path, HEAD + "steps:\n  - {at_s: 1, id: go, unplug: n9-9}\n")
    assert main(["--scenario", str(path), "--site", str(site)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0] == f"pilegate sim: {path}:6: steps[0].unplug: no outlet is called 'n9-9'"


def test_a_trace_is_played_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("seconds,power_w\n0,10\n2.5,20\n\n4,0\n")
    player = TracePlayer(read_trace(path), speed=2)
    powers = [player.step(0.5, 230).power_w for _ in range(6)]
    assert powers == [10, 10, 10, 20, 0, 0]
    assert player.step(1, 0).power_w == 0


def test_a_trace_may_begin_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("seconds,power_w\n0,10\n2,20\n9,30\n")
    player = TracePlayer(read_trace(path), start_s=8.5)
    assert [player.step(0.5, 230).power_w for _ in range(2)] == [20, 30]


def test_a_trace_stands_still_while_the_outlet_is_off(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("seconds,power_w\n0,10\n2,20\n")
    player = TracePlayer(read_trace(path))
    player.step(100, 0)
    assert player.step(1, 230).power_w == 10


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "traces").glob("*.csv")), ids=str)
def test_shipped_traces_are_read(path: Path) -> None:
    trace = read_trace(path)
    assert len(trace.seconds) > 50
    assert max(trace.power_w) > 100


def test_a_bad_trace_says_every_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("seconds,power_w\n1,1\n0,2\n1\nx,1\n3,-1\n4,nan\n5,inf\n6,1\n")
    with pytest.raises(CorrectFiles) as wrong:
        read_trace(path)
    assert [problem.line for problem in wrong.value.problems] == [3, 4, 5, 6, 7, 8]
    path.write_text("time,watts\n0,1\n")
    with pytest.raises(CorrectFiles, match="seconds,power_w"):
        read_trace(path)
    path.write_text("seconds,power_w\n")
    with pytest.raises(CorrectFiles, match="no rows"):
        read_trace(path)
    with pytest.raises(CorrectFiles, match="can't be read"):
        read_trace(tmp_path / "none.csv")


def test_a_scenario_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Scenario(scenario="t", title="T", site="s", duration_s=1).duration_s = 2  # type: ignore[misc]
