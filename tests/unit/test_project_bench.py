from __future__ import annotations

import pytest

from tests.bench.clocks import is_off
from tests.bench.figures import Spread, nearest_rank, table
from tests.bench.reaction import IN_USE, MODULES, crowded, module_of, scattered
from tests.bench.sites import OUTLETS_EACH, circuits_of
from tests.bench.tap import Ledger


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert nearest_rank([float(value) for value in range(1, 101)], share) == expected


def test_spread_sorts_what_it_is_given() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(n=3, p50_ms=2.0, p99_ms=3.0, max_ms=3.0)


def test_table_aligns_its_columns() -> None:
    assert table(["what", "ms"], [["bare", "0.31"], ["guard, quiet", "12.5"]]).splitlines() == [
        "what            ms",
        "------------  ----",
        "bare          0.31",
        "guard, quiet  12.5",
    ]


def _read(unit: int) -> bytes:
    return bytes([unit, 4, 0, 0, 0, 44, 0, 0])


def _registers(unit: int, over: int | None = None) -> bytes:
    words = [0] * 44
    if over is not None:
        words[4 + over] = 1_500
    return bytes([unit, 4, 88]) + b"".join(word.to_bytes(2) for word in words) + b"\0\0"


def _off(unit: int, channel: int) -> bytes:
    return bytes([unit, 5, 0, channel, 0, 0, 0, 0])


def test_the_tap_counts_foreign_requests_before_an_off_frame() -> None:
    ledger = Ledger(limit_digits=1_200)
    ledger.from_master(_read(1))
    ledger.from_devices(_registers(1, over=3))
    ledger.from_master(_read(2))
    ledger.from_devices(_registers(2, over=0)[:40])
    ledger.from_devices(_registers(2, over=0)[40:])
    ledger.from_master(_off(1, 3))
    ledger.from_devices(_off(1, 3))
    ledger.from_master(bytes([2, 15, 0, 0, 0, 10, 2, 0, 0, 0, 0]))
    assert ledger.foreign == [1, 1]


def test_an_outlet_that_stays_over_is_one_cut_off() -> None:
    ledger = Ledger(limit_digits=1_200)
    for data in (_registers(1, over=3), _registers(1, over=3)):
        ledger.from_master(_read(1))
        ledger.from_devices(data)
    ledger.from_master(_off(1, 3))
    ledger.from_master(_off(1, 3))
    assert ledger.foreign == [1]


@pytest.mark.parametrize(
    ("pdu", "off"),
    [
        ("05 0003 0000", True),
        ("05 0003 FF00", False),
        ("0F 0000 000A 02 FF03", False),
        ("0F 0000 000A 02 FF02", True),
        ("0F 0000 0001 01 00", True),
        ("04 0000 002C", False),
        ("06 0000 0000", False),
    ],
)
def test_the_clock_stops_at_an_off_frame_only(pdu: str, off: bool) -> None:
    body = bytes.fromhex(pdu)
    frame = bytes.fromhex("0001 0000") + (len(body) + 1).to_bytes(2) + b"\x01" + body
    assert is_off(frame) is off


def test_a_quarter_of_the_outlets_is_in_use_on_all_modules_or_on_few() -> None:
    outlets = [f"m{n}-{at}" for n in range(MODULES) for at in range(OUTLETS_EACH)]
    apart, together = scattered(outlets), crowded(outlets)
    assert len(set(apart)) == len(set(together)) == IN_USE == len(outlets) // 4
    assert len(set(map(module_of, apart))) == MODULES
    assert len(set(map(module_of, together))) == 5


def test_circuits_of_the_bench_feed_every_module_once() -> None:
    circuits = circuits_of(25)
    feeds = [feed for each in circuits for feed in each.get("feeds", [])]
    assert sorted(feeds) == sorted(f"pile/p-m{number}" for number in range(1, 26))
    names = [each["id"] for each in circuits]
    assert all(each["parent"] in names[:at] for at, each in enumerate(circuits) if at)
    assert len(names) == len(set(names)) == 1 + 3 * 4 + 25
