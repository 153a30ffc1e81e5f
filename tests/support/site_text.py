"""A small site file, and what loading it says when some of its lines are changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Site, load_site
from gateway.core.errors import CorrectFiles

BASE = """\
site: {id: s}
buses:
  - {id: b1, kind: modbus-rtu, port: /dev/ttyUSB0}
  - {id: b2, kind: modbus-tcp, host: 192.0.2.1, port: 5020}
devices:
  - {id: m1, bus: b1, unit: 1, profile: pilegate-ref10}
  - {id: p1, bus: b1, unit: 2, profile: pzem-004t-v3}
  - {id: w1, bus: b2, unit: 1, profile: waveshare-relay-8}
  - {id: d1, bus: b2, unit: 2, profile: dds238-2-zn-sr}
limits: {}
stations:
  - id: north
    limits: {}
    piles:
      - id: n1
        module: {device: m1, channels: 1-9}
        limits: {}
        outlets:
          - {id: c1, meter: {device: p1}, relay: {device: w1, channel: 1}}
          - {id: c2, device: d1}
          - {id: n1-3, name: Third, limits: {}}
"""
PILE = "stations[0].piles[0]"


def load(tmp_path: Path, text: str) -> Site:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return load_site(path)


def refused(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(CorrectFiles) as caught:
        load(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def with_lines(changes: dict[int, str]) -> str:
    lines = BASE.splitlines()
    for number, line in changes.items():
        indent = len(lines[number - 1]) - len(lines[number - 1].lstrip())
        lines[number - 1] = "\n".join(" " * indent + part for part in line.split("\n"))
    return "\n".join(lines) + "\n"


def check_refused(tmp_path: Path, changes: dict[int, str], expected: list[str]) -> None:
    """See that the changed file has exactly these problems, or none: each in a line that begins so.

    ``PILE`` stands for the path of the only pile.
    """
    text = with_lines(changes)
    if not expected:
        load(tmp_path, text)
        return
    problems = refused(tmp_path, text)
    assert len(problems) == len(expected), problems
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"site.yaml:{start}".replace("PILE", PILE)), (problem, start)
        assert "\n" not in problem, problem
