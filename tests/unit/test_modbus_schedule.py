"""Rounds: in use first, everything else in time, nobody starves."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.ladder import Level
from drivers.modbus.schedule import Budget, Due, Menu, Pace, longest_gap_ms, oldest_ms, plan_round

PACE = Pace(fast_ms=3_000.0, slow_ms=10_000.0)
MOST_ROUNDS = 200
ROUNDING_MS = 0.001
LONG_AGO = Due(-1e6, -1e6)
FRESH = Due(1e6, 1e6)


def plan(menus: dict[str, Menu], dues: dict[str, Due]) -> list[tuple[str, Level]]:
    return plan_round(menus, dues, PACE, 0.0, Budget()).turns


def test_with_nothing_in_use_everybody_has_a_turn() -> None:
    menus = {key: Menu(0.0, 70.0, 110.0) for key in "abc"}
    dues = {"a": FRESH, "b": Due(0.0, 1e6), "c": LONG_AGO}
    assert plan(menus, dues) == [("a", Level.FAST), ("b", Level.FAST), ("c", Level.WHOLE)]


def test_without_devices_there_is_no_turn() -> None:
    assert plan({}, {}) == []


def test_what_is_in_use_is_asked_first_and_briefly() -> None:
    menus = {key: Menu(0.0 if key == "a" else 30.0, 70.0, 110.0) for key in "abcd"}
    dues = {key: Due(2_500.0 if key == "a" else 2_900.0, 1e6) for key in menus}
    turns = plan(menus, dues)
    assert turns[0] == ("b", Level.LEAD)
    assert sorted(turns) == [(key, Level.FAST if key == "a" else Level.LEAD) for key in "abcd"]


def test_the_longest_due_of_what_is_in_use_comes_in_its_own_turn() -> None:
    menus = {key: Menu(30.0, 70.0, 110.0) for key in "abcd"}
    dues = {key: Due(2_000.0 + ord(key), 1e6) for key in "abd"} | {"c": Due(1_000.0, 1e6)}
    levels = [Level.LEAD, Level.LEAD, Level.FAST, Level.LEAD]
    assert plan(menus, dues) == list(zip("abcd", levels, strict=True))


def test_idle_devices_come_between_those_in_use_the_longest_due_first() -> None:
    menus = {key: Menu(40.0, 70.0, 110.0) for key in "abcd"}
    menus |= {key: Menu(0.0, 70.0, 110.0) for key in "xyz"}
    dues = dict.fromkeys("abcd", FRESH)
    dues |= {"x": Due(-420.0, 1e6), "y": Due(-1_000.0, 1e6), "z": Due(-900.0, 1e6)}
    turns = [key for key, _ in plan(menus, dues)]
    assert turns[0] == "a"
    assert turns[-1] == "x"
    assert [key for key in turns if key in "xyz"] == ["y", "z", "x"]
    assert [key for key in turns if key in "abcd"] == ["a", "b", "c", "d"]
    assert "".join(turns) not in ("yzxabcd", "abcdyzx")


def test_a_level_that_costs_as_much_as_the_next_is_the_next() -> None:
    menus = {"a": Menu(30.0, 30.0, 30.0), "b": Menu(30.0, 30.0, 40.0)}
    assert plan(menus, dict.fromkeys(menus, FRESH)) == [("a", Level.WHOLE), ("b", Level.FAST)]


def test_what_was_not_spent_is_spent_later() -> None:
    menus = {"a": Menu(30.0, 70.0, 110.0)} | {key: Menu(0.0, 70.0, 110.0) for key in "xyz"}
    dues = dict.fromkeys(menus, FRESH)
    left, picked = Budget(), 0
    for _ in range(20):
        turns, left = plan_round(menus, dues, PACE, 0.0, left)
        picked += sum(level >= Level.FAST for _, level in turns)
    # (40 + 3 * 70) ms of every 3 s, of rounds of 30 ms and what is spent: about 3.3 ms a round
    assert 1 <= picked <= 3


# ------------------------------------------------------------------ properties


class Device(NamedTuple):
    """What its turns take with all of its outlets in use."""

    all_in_use: Menu
    age: float
    """How old its values are at the beginning, as a share of what they may be."""


def _menu(lead_ms: int, fast_ms: int, whole_ms: int, kinds: str) -> Menu:
    whole = lead_ms + fast_ms + whole_ms
    fast = whole if "w" in kinds else lead_ms + fast_ms
    return Menu(0.0 if "n" in kinds else fast if "f" in kinds else lead_ms, fast, whole)


devices = st.lists(
    st.builds(
        Device,
        st.builds(
            _menu,
            st.integers(15, 60),
            st.integers(0, 80),
            st.integers(0, 120),
            st.sampled_from(["", "", "", "w", "f", "n", "fw"]),
        ),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=20,
)
uses = st.lists(st.lists(st.floats(0, 1), min_size=20, max_size=20), min_size=1, max_size=40)
"""How much of each device's leading values is in use, round for round; below 0.4 nothing is."""


@settings(max_examples=300, deadline=None)
@given(devices, uses, st.booleans())
def test_no_value_gets_older_than_was_promised(
    there: list[Device], use: list[list[float]], stays: bool
) -> None:
    whole_ms = sum(device.all_in_use.whole_ms for device in there)
    oldest_fast_ms, oldest_slow_ms = oldest_ms([device.all_in_use for device in there], PACE)
    longest_ms = longest_gap_ms([device.all_in_use for device in there])
    led: dict[int, float] = {}
    read_fast = {key: -device.age * PACE.fast_ms for key, device in enumerate(there)}
    read_slow = {key: -device.age * PACE.slow_ms for key, device in enumerate(there)}
    dues = {
        key: Due(read_fast[key] + PACE.fast_ms, read_slow[key] + PACE.slow_ms) for key in read_fast
    }
    now_ms, number, left = 0.0, 0, Budget()
    while now_ms < 3 * PACE.slow_ms and number < MOST_ROUNDS:
        shares = use[min(number, len(use) - 1) if stays else number % len(use)]
        menus = {
            key: device.all_in_use._replace(
                lead_ms=device.all_in_use.lead_ms * shares[key] if shares[key] >= 0.4 else 0.0
            )
            for key, device in enumerate(there)
        }
        began_ms, number = now_ms, number + 1
        turns, left = plan_round(menus, dues, PACE, now_ms, left)
        asked = [key for key, _ in turns]
        assert len(set(asked)) == len(asked)
        in_use = {key for key, menu in menus.items() if menu.lead_ms}
        assert in_use <= set(asked)
        assert not in_use or asked[0] in in_use
        if in_use != set(led):
            led = {}  # while it changes an idle device may have two turns in between
        for key, level in turns:
            dues[key] = dues[key].after(level, now_ms, PACE)
            now_ms += menus[key].of(level)
            if key in in_use:
                assert now_ms - led.get(key, now_ms) <= longest_ms + ROUNDING_MS
                led[key] = now_ms
            if level >= Level.FAST:
                assert now_ms - read_fast[key] <= oldest_fast_ms + ROUNDING_MS
                read_fast[key] = now_ms
            if level >= Level.WHOLE:
                assert now_ms - read_slow[key] <= oldest_slow_ms + ROUNDING_MS
                read_slow[key] = now_ms
        assert now_ms - began_ms <= whole_ms + ROUNDING_MS
    assert all(now_ms - at_ms <= oldest_fast_ms for at_ms in read_fast.values())
    assert all(now_ms - at_ms <= oldest_slow_ms for at_ms in read_slow.values())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([True, True, True, False]), min_size=2, max_size=16),
    st.integers(0, 16),
)
def test_who_never_gives_everything_keeps_nobody_from_a_turn(
    gives: list[bool], in_use: int
) -> None:
    menus = {key: Menu(30.0 if key < in_use else 0.0, 60.0, 100.0) for key in range(len(gives))}
    dues = dict.fromkeys(menus, Due(0.0, 0.0))
    read = dict.fromkeys(menus, 0.0)
    now_ms, left = 0.0, Budget()
    fast_ms, _ = oldest_ms([menu._replace(lead_ms=30.0) for menu in menus.values()], PACE)
    while now_ms < 2 * PACE.slow_ms:
        turns, left = plan_round(menus, dues, PACE, now_ms, left)
        for key, level in turns:
            if gives[key] or level is not Level.WHOLE:
                dues[key] = dues[key].after(level, now_ms, PACE)
            else:
                dues[key] = dues[key].tried(level, now_ms, PACE)
            now_ms += menus[key].of(level)
            if level >= Level.FAST:
                assert now_ms - read[key] <= fast_ms
                read[key] = now_ms
        now_ms += 0.0 if turns else 50.0
    assert all(now_ms - at_ms <= fast_ms for at_ms in read.values())
