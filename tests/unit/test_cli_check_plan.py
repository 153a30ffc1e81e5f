"""What ``pilegate check`` says about buses."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from gateway.cli import run

SITE = """\
site: {{id: s, name: S}}
state_dir: state
promise: {{cut_off_ms: {promise_ms}}}
limits: {{overpower: null, {limits}}}
buses:
  - {{id: line, kind: modbus-rtu, port: /dev/none, baud: 9600, poll_ms: {poll_ms}}}
devices:
{devices}
stations:
  - id: north
    name: North
    piles:
{piles}
"""


def write(
    path: Path, modules: int, poll_ms: int = 500, promise_ms: int = 2_700, limits: str = ""
) -> Path:
    numbers = range(1, modules + 1)
    site = path / "site.yaml"
    site.write_text(
        SITE.format(
            promise_ms=promise_ms,
            poll_ms=poll_ms,
            limits=limits,
            devices="\n".join(
                f"  - {{id: m{n}, bus: line, unit: {n}, profile: pilegate-ref10}}" for n in numbers
            ),
            piles="\n".join(
                f"      - {{id: p{n}, module: "
                f'{{device: m{n}, channels: 1-10, outlets: "p{n}-{{channel}}"}}}}'
                for n in numbers
            ),
        ),
        encoding="utf-8",
    )
    return site


def lines(text: str) -> list[str]:
    """Read what is printed; a "|" at the end of a line goes on in the next one."""
    return dedent(text).replace("|\n", "").strip("\n").splitlines()


def check(site: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    status = run(["check", str(site)])
    told = capsys.readouterr()
    return status, told.out.splitlines(), told.err.replace(str(site), "SITE")


def test_a_bus_that_no_outlet_uses_has_no_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write(tmp_path, 1, poll_ms=1_000)
    written = site.read_text(encoding="utf-8")
    more = "  - {id: spare, kind: modbus-tcp, host: 192.0.2.1}\ndevices:\n"
    spare = "  - {id: s1, bus: spare, unit: 1, profile: sdm120}\n"
    site.write_text(written.replace("devices:\n", more + spare, 1), encoding="utf-8")
    status, told, _ = check(site, capsys)
    assert status == 0
    bus = next(at for at, line in enumerate(told) if line.startswith("bus spare"))
    assert told[bus + 1] == "  no outlet uses its devices: nothing is read"


def test_a_bus_with_time_to_spare_is_read_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told, _ = check(write(tmp_path, 2, poll_ms=1_000), capsys)
    assert status == 0
    assert told[1:] == lines(
        """
        bus line (modbus-rtu, /dev/none at 9600 baud): 2 requests a round, 235.0 ms of every|
         1000 ms, 24% busy
          everything is read in every round: an overload is seen after 1118 ms at worst,|
         618 ms typically
          device  outlets  round     one outlet over  all over  with one device silent
          m1      10       117.5 ms  1311 ms          1314 ms   1651 / 1654 ms
          m2      10       117.5 ms  1311 ms          1314 ms   1651 / 1654 ms
        promise: an overload's off frame within 2700 ms, and the delay of its rule: kept;|
         the worst is 1314 ms, 1654 ms with one device silent
        """
    )


def test_on_a_slow_bus_outlets_in_use_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told, errors = check(write(tmp_path, 16), capsys)
    assert (status, errors) == (0, "")
    assert told[1:6] == lines(
        """
        bus line (modbus-rtu, /dev/none at 9600 baud): 16 requests a round, 1880.0 ms of every|
         1880 ms, 100% busy
          in use: current first; an overload is seen after 1998 ms at worst, 459 ms typically|
         (a quarter in use)
          idle: a welded or closed relay is seen after 8526 ms at worst, 1697 ms typically;|
         slow values are 20 s old at most
          device  outlets  round     one outlet over  all over  with one device silent
          m1      10       117.5 ms  2640 ms          2643 ms   2981 / 2984 ms
        """
    )


def test_a_promise_that_is_not_kept_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, errors = check(write(tmp_path, 16, promise_ms=2_000), capsys)
    assert status == 2
    refused = errors.splitlines()
    assert len(refused) == 16
    assert refused[:1] == lines(
        """
        pilegate: SITE:8: devices[0]: promise.cut_off_ms: 2000 ms is not kept by m1 on bus line|
         (one outlet 2640 ms, all 2643 ms): poll more often, raise the baud rate, or put fewer|
         devices on the bus
        """
    )


def test_values_that_get_older_than_silence_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write(tmp_path, 16, limits="silence: {delay_s: 5}")
    status, _, errors = check(site, capsys)
    assert status == 2
    assert errors.splitlines() == lines(
        """
        pilegate: SITE:6: buses[0]: limits.silence.delay_s: values on bus line may be 6194 ms old|
         while every device answers, and after 5000 ms they are taken for silent: raise the baud|
         rate, put fewer devices on the bus, or allow more (a module's watchdog counts, too)
        """
    )
