from __future__ import annotations

from gateway.core.units import UJ_PER_MWH
from gateway.guard.minutes import MINUTE_MS, Minutes
from gateway.guard.model import Sample
from gateway.link.records import MinuteRecord, Spread

START = 1_790_000_040_000 // MINUTE_MS * MINUTE_MS


def _sample(after_ms: int, **values: float) -> Sample:
    return Sample(at_ms=after_ms, utc_ms=START + after_ms, **values)  # type: ignore[arg-type]


def _add(minutes: Minutes, after_ms: int, used_mwh: float, **values: float) -> MinuteRecord | None:
    return minutes.add("n1-1", _sample(after_ms, **values), round(used_mwh * UJ_PER_MWH))


def test_a_minute_is_given_when_the_next_one_begins() -> None:
    minutes = Minutes()
    assert _add(minutes, 0, 0, voltage_v=230.0, current_a=1.0, power_w=100.0) is None
    assert _add(minutes, 30_000, 1_000, voltage_v=228.0, current_a=2.0, power_w=130.0) is None
    assert _add(minutes, 60_000, 1_900, power_w=90.0) == MinuteRecord(
        outlet="n1-1",
        minute_utc_ms=START,
        samples=2,
        energy_mwh=1_000,
        voltage_v=Spread(low=228.0, high=230.0, mean=229.0),
        current_a=Spread(low=1.0, high=2.0, mean=1.5),
        power_w=Spread(low=100.0, high=130.0, mean=115.0),
    )


def test_what_no_sample_held_is_left_out() -> None:
    minutes = Minutes()
    _add(minutes, 0, 0, power_w=100.0)
    _add(minutes, 1_000, 0)
    closed = minutes.close("n1-1")
    assert closed is not None
    assert closed.samples == 2
    assert closed.power_w == Spread(low=100.0, high=100.0, mean=100.0)
    assert closed.voltage_v is None


def test_the_minutes_of_a_lease_add_up_to_its_energy() -> None:
    minutes = Minutes()
    given = [_add(minutes, step * 7_000, step * 0.37, power_w=190.0) for step in range(100)]
    given.append(minutes.close("n1-1", round(99 * 0.37 * UJ_PER_MWH)))
    energies = [minute.energy_mwh for minute in given if minute is not None]
    assert len(energies) == 12
    assert sum(energies) == int(99 * 0.37)


def test_the_next_lease_counts_from_zero() -> None:
    minutes = Minutes()
    _add(minutes, 0, 5_000, power_w=100.0)
    minutes.close("n1-1")
    _add(minutes, 1_000, 0, power_w=100.0)
    _add(minutes, 20_000, 3, power_w=100.0)
    closed = minutes.close("n1-1")
    assert closed is not None
    assert closed.energy_mwh == 3


def test_a_clock_that_is_set_back_gives_parts_of_minutes_and_no_energy_twice() -> None:
    minutes = Minutes()
    given = [
        _add(minutes, 50_000, 10, power_w=1.0),
        _add(minutes, 70_000, 20, power_w=1.0),
        _add(minutes, 55_000, 30, power_w=1.0),
        minutes.close("n1-1"),
    ]
    parts = [(m.minute_utc_ms - START, m.energy_mwh) for m in given if m is not None]
    assert parts == [(0, 10), (60_000, 10), (0, 10)]


def test_outlets_are_apart_and_an_idle_one_has_nothing_to_give() -> None:
    minutes = Minutes()
    minutes.add("n1-1", _sample(0, power_w=1.0), 0)
    minutes.add("n1-2", _sample(0, power_w=2.0), 0)
    closed = minutes.close("n1-2")
    assert closed is not None
    assert closed.power_w == Spread(low=2.0, high=2.0, mean=2.0)
    assert minutes.close("n1-2") is None
    assert minutes.close("n1-3") is None
    assert [minute.outlet for minute in minutes.close_all()] == ["n1-1"]
    assert minutes.close_all() == []
