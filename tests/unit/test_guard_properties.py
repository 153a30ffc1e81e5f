"""What holds for every sequence of samples, silences, requests and clock steps."""

from __future__ import annotations

import json
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.clock import Now
from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import Effect, Note, SwitchOff, SwitchOn
from gateway.guard.events import (
    Alive,
    Event,
    Held,
    LeaseDurable,
    LeaseNotDurable,
    Lock,
    MakeRoom,
    Proceed,
    Renew,
    RequestOff,
    RequestOn,
    RequestReset,
    Tick,
    Unlock,
    Written,
)
from gateway.guard.evidence import told
from gateway.guard.flight_state import state_from_json, state_to_json
from gateway.guard.limits import AboveCurrent, AbovePower, Limits, Release
from gateway.guard.model import Lease, Sample, WriteResult
from gateway.guard.protection import step
from gateway.guard.requests import FORBIDS_START, last_known_ms
from gateway.guard.state import OutletState, Phase

LIMITS = Limits(
    overcurrent_instant=AboveCurrent(above_a=8.0),
    overcurrent=AboveCurrent(above_a=5.0, delay_s=3.0),
    overpower=AbovePower(above_w=1000.0, delay_s=2.0),
)

# Figures around every threshold, and absurd ones.
CURRENTS = st.sampled_from(
    [None, math.nan, math.inf, 0.0, 0.04, 0.06, 0.6, 4.9, 5.1, 7.9, 8.1, 60.0, -9.0]
)
POWERS = st.sampled_from(
    [None, math.nan, -math.inf, 3e38, 0.0, 0.9, 1.1, 6.9, 20.0, 150.0, 999.0, 1001.0, -1500.0]
)
VOLTAGES = st.sampled_from([None, 90.0, 110.0, 230.0, 269.0, 271.0])


@st.composite
def samples(draw: st.DrawFn) -> dict[str, float | bool | None]:
    return {
        "current_a": draw(CURRENTS),
        "power_w": draw(POWERS),
        "voltage_v": draw(VOLTAGES),
        "relay_on": draw(st.sampled_from([None, True, False])),
        "temperature_c": draw(st.sampled_from([None, 20.0, 95.0])),
        "alarm": draw(st.sampled_from([None, None, False, True])),
        "age_ms": draw(st.sampled_from([0, 0, 0, 5, 2_000, 100_000, -60_000])),
        "energy_mwh": draw(st.sampled_from([None, 0, 1_000, 5_000])),
    }


EVENTS = st.one_of(
    samples(),
    samples(),
    st.sampled_from(["tick", "alive"]),
    st.sampled_from(["on", "on", "durable", "not_durable", "off", "reset", "reset_on_site"]),
    st.sampled_from(["lock", "unlock", "renew", "on_done", "on_failed", "on_dropped"]),
    st.sampled_from(["off_done", "off_failed", "off_dropped"]),
    st.sampled_from(["held", "proceed", "proceed", "make_room"]),
)
QUIET = {"current_a": 0.0, "power_w": 0.0, "voltage_v": 230.0, "relay_on": False, "age_ms": 0}
CHARGING = {"current_a": 0.6, "power_w": 138.0, "voltage_v": 230.0, "relay_on": True, "age_ms": 0}
# Half of the runs begin on a running charge: by chance alone they would seldom get there.
BEGINNINGS: list[list[tuple[int, object]]] = [
    [],
    [(0, QUIET), (10, "on"), (10, "durable"), (400, CHARGING), (1_000, CHARGING)],
    [(0, "fed"), (0, QUIET), (10, "on"), (10, "durable"), (10, "proceed"), (400, CHARGING)],
    [
        *((0, "fed"), (0, QUIET), (10, "on"), (10, "durable"), (10, "proceed")),
        *((400, CHARGING), (1_000, "make_room"), (0, "off_done"), (400, QUIET)),
    ],
]
STEPS = st.builds(
    lambda beginning, rest: [*beginning, *rest],
    st.sampled_from(BEGINNINGS),
    st.lists(st.tuples(st.sampled_from([0, 1, 400, 1_000, 5_000, 61_000]), EVENTS), max_size=40),
)

_WRITES = {
    "on_done": Written(wanted_on=True, result=WriteResult.DONE),
    "on_failed": Written(wanted_on=True, result=WriteResult.FAILED),
    "on_dropped": Written(wanted_on=True, result=WriteResult.DROPPED),
    "off_done": Written(wanted_on=False, result=WriteResult.DONE),
    "off_failed": Written(wanted_on=False, result=WriteResult.FAILED),
    "off_dropped": Written(wanted_on=False, result=WriteResult.DROPPED),
}


def event_of(word: object, now_ms: int, number: int, state: OutletState) -> Event:
    lease_id = state.lease.id if state.lease else "none"
    if isinstance(word, dict):
        values = {k: v for k, v in word.items() if k != "age_ms"}
        return Sample(at_ms=now_ms - word["age_ms"], utc_ms=now_ms, **values)
    words: dict[str, Event] = {
        "tick": Tick(),
        "alive": Alive(now_ms),
        "on": RequestOn(
            lease=Lease(
                id=f"lease-{number}",
                request_id=f"r-{number}",
                actor="a",
                reason="",
                granted_ms=now_ms,
                granted_utc_ms=0,
                until_ms=now_ms + 30_000,
            )
        ),
        "durable": LeaseDurable(lease_id=lease_id),
        "not_durable": LeaseNotDurable(lease_id=lease_id),
        "off": RequestOff(actor="a"),
        "reset": RequestReset(actor="a", on_site=False),
        "reset_on_site": RequestReset(actor="a", on_site=True),
        "lock": Lock(scope="pile/n1", actor="a"),
        "unlock": Unlock(scope="pile/n1"),
        "held": Held(circuit="c"),
        "proceed": Proceed(lease_id=lease_id),
        "make_room": MakeRoom(circuit="c", reason=Reason.CIRCUIT_OVER),
        "renew": Renew(lease_id=lease_id, until_ms=now_ms + 30_000, actor="a"),
        **_WRITES,
    }
    return words[str(word)]


Row = tuple[OutletState, Event, Now, OutletState, tuple[Effect, ...]]


def run(steps: list[tuple[int, object]], utc_steps: list[int] | None = None) -> list[Row]:
    state = OutletState(metered=True)
    now_ms, utc_ms = 200_000, 1_790_000_000_000
    rows: list[Row] = []
    for number, (gap_ms, word) in enumerate(steps):
        now_ms += gap_ms
        utc_ms += gap_ms + (utc_steps[number % len(utc_steps)] if utc_steps else 0)
        now = Now(now_ms, utc_ms)
        if word == "fed":
            state = state._replace(is_fed=True)
            continue
        event = event_of(word, now_ms, number, state)
        after, effects = step(state, event, LIMITS, now)
        rows.append((state, event, now, after, effects))
        state = after
    return rows


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(STEPS)
def test_no_on_without_a_durable_lease(steps: list[tuple[int, object]]) -> None:
    durable: set[str] = set()
    for before, event, now, after, effects in run(steps):
        if isinstance(event, LeaseDurable) and before.phase is Phase.GRANTED:
            durable.add(event.lease_id)
        if any(isinstance(e, SwitchOn) for e in effects):
            assert after.lease is not None
            assert after.lease.id in durable
            assert after.lease.until_ms > now.mono_ms or isinstance(event, LeaseDurable | Written)
            assert after.latch is None
            assert not after.locks
        if after.phase in (Phase.STARTING, Phase.ON):
            assert after.lease is not None


@many
@given(STEPS)
def test_an_off_is_the_first_effect_and_never_beside_an_on(
    steps: list[tuple[int, object]],
) -> None:
    for _, _, _, after, effects in run(steps):
        kinds = [type(e) for e in effects]
        if SwitchOff in kinds:
            assert kinds[0] is SwitchOff
            assert SwitchOn not in kinds
            assert after.lease is None or (after.waits_for and after.phase is Phase.STOPPING)


@many
@given(STEPS)
def test_over_its_limit_for_its_delay_is_off_or_being_switched_off(
    steps: list[tuple[int, object]],
) -> None:
    over_since: dict[str, int] = {}
    newest_ms = -1
    for _, event, now, after, _ in run(steps):
        if (
            isinstance(event, Sample)
            and event.current_a is not None
            and math.isfinite(event.current_a)
            and newest_ms < event.at_ms <= now.mono_ms
        ):
            newest_ms = event.at_ms
            for name, limit_a in (("instant", 8.0), ("delayed", 5.0)):
                if abs(event.current_a) > limit_a:
                    over_since.setdefault(name, event.at_ms)
                else:
                    over_since.pop(name, None)
            powered = after.phase in (Phase.STARTING, Phase.ON)
            if "instant" in over_since:
                assert not powered
            if "delayed" in over_since and event.at_ms - over_since["delayed"] >= 3_000:
                assert not powered
        assert now.mono_ms >= newest_ms


@many
@given(STEPS)
def test_a_value_never_grows_younger(steps: list[tuple[int, object]]) -> None:
    for before, event, now, after, _ in run(steps):
        for name in ("relay_ms", "current_ms", "power_ms", "voltage_ms", "temperature_ms"):
            old, new = getattr(before.measured, name), getattr(after.measured, name)
            if new != old:
                assert isinstance(event, Sample)
                assert new == event.at_ms
                assert old is None or new > old
                assert new <= now.mono_ms


@many
@given(STEPS)
def test_a_latch_is_left_by_a_release_alone(steps: list[tuple[int, object]]) -> None:
    for before, event, _, after, effects in run(steps):
        if before.latch is not None and after.latch is None:
            kinds = [e.kind for e in effects if isinstance(e, Note)]
            assert FactKind.OUTLET_RELEASED in kinds
            if isinstance(event, RequestReset):
                assert event.on_site or before.latch.release is not Release.ON_SITE
            else:
                assert before.latch.release is Release.AUTOMATIC
            assert before.phase is Phase.OFF or after.phase is Phase.OFF
        if after.latch is not None:
            assert after.phase in (Phase.OFF, Phase.STOPPING)
            assert after.lease is None


@many
@given(STEPS)
def test_silence_ends_what_runs(steps: list[tuple[int, object]]) -> None:
    for _, event, now, after, _ in run(steps):
        if after.phase is Phase.ON and isinstance(event, Tick | Sample):
            heard_ms = last_known_ms(after)
            since_ms = after.phase_ms if heard_ms is None else heard_ms
            assert now.mono_ms - since_ms < LIMITS.silence.delay_s * 1000


@many
@given(STEPS)
def test_every_lease_that_starts_ends_once(steps: list[tuple[int, object]]) -> None:
    running: str | None = None
    for _, _, _, after, effects in run(steps):
        for effect in effects:
            if not isinstance(effect, Note):
                continue
            if effect.kind is FactKind.LEASE_STARTED:
                assert running is None
                running = effect.data["lease_id"]
            elif effect.kind is FactKind.LEASE_ENDED:
                assert running == effect.data["lease_id"]
                running = None
        assert (after.lease.id if after.lease else None) == running


@many
@given(STEPS, st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=5))
def test_steps_of_the_wall_clock_change_no_decision(
    steps: list[tuple[int, object]], utc_steps: list[int]
) -> None:
    for plain, stepped in zip(run(steps), run(steps, utc_steps), strict=True):
        assert plain[3].phase is stepped[3].phase
        switches = [
            [e for e in row[4] if isinstance(e, SwitchOn | SwitchOff)] for row in (plain, stepped)
        ]
        assert switches[0] == switches[1]


@many
@given(STEPS)
def test_the_same_inputs_give_the_same_outputs(steps: list[tuple[int, object]]) -> None:
    assert run(steps) == run(steps)


@many
@given(STEPS)
def test_a_state_that_was_written_down_goes_on_as_it_would_have(
    steps: list[tuple[int, object]],
) -> None:
    """A flight record is replayed from such a state."""
    for state, event, now, after, effects in run(steps):
        kept = state_from_json(json.loads(json.dumps(state_to_json(state))))
        replayed, again = step(kept, event, LIMITS, now)
        assert state_to_json(replayed) == state_to_json(after)
        assert [_decided(effect) for effect in again] == [_decided(effect) for effect in effects]


def _decided(effect: Effect) -> object:
    """Leave the evidence out of a fact."""
    return (effect.kind, effect.reason) if isinstance(effect, Note) else effect


@many
@given(STEPS)
def test_energy_never_falls_within_a_lease_and_is_finite(
    steps: list[tuple[int, object]],
) -> None:
    for before, event, _, after, _ in run(steps):
        assert math.isfinite(after.energy.total_uj)
        if not isinstance(event, RequestOn):
            assert after.energy.total_uj >= before.energy.total_uj or after.energy.register_mwh


@many
@given(STEPS)
def test_what_was_told_to_go_off_is_told_again_until_it_is(
    steps: list[tuple[int, object]],
) -> None:
    for before, event, now, after, effects in run(steps):
        waits = before.phase is Phase.STOPPING and after.phase is Phase.STOPPING
        if waits and isinstance(event, Tick) and before.stop is not None:
            told = any(isinstance(e, SwitchOff) for e in effects)
            assert told == (now.mono_ms - before.stop.attempt_ms >= 1_000)
        if before.phase is Phase.STOPPING and after.phase in (Phase.OFF, Phase.WAITING):
            assert isinstance(event, Sample)
            shown = after.measured
            assert shown.relay_on is False
            if (shown.power_ms or 0) - (shown.current_ms or 0) < 5_000:
                assert abs(shown.current_a or 0.0) <= LIMITS.welded.above_a
            else:  # the current is known no more
                assert abs(shown.power_w or 0.0) / 230 <= LIMITS.welded.above_a


@many
@given(STEPS)
def test_an_outlet_seen_on_without_being_told_to_is_told_to_go_off(
    steps: list[tuple[int, object]],
) -> None:
    for before, event, now, after, effects in run(steps):
        if not isinstance(event, Sample) or not event.relay_on:
            continue
        is_news = (before.measured.relay_ms or 0) < event.at_ms <= now.mono_ms
        if is_news and before.phase in (Phase.OFF, Phase.GRANTED, Phase.WAITING):
            assert isinstance(effects[0], SwitchOff)
            assert after.phase is Phase.STOPPING
            assert after.lease is None


@many
@given(STEPS)
def test_no_lease_outlives_its_time(steps: list[tuple[int, object]]) -> None:
    for _, event, now, after, _ in run(steps):
        if isinstance(event, Tick | Sample) and after.phase in (Phase.STARTING, Phase.ON):
            assert after.lease is not None
        waits = after.phase in (Phase.WAITING, Phase.STOPPING)
        if isinstance(event, Tick | Sample) and (waits or after.phase is Phase.ON):
            assert after.lease is None or now.mono_ms < after.lease.until_ms


@many
@given(STEPS)
def test_an_alarm_and_its_end_take_turns(steps: list[tuple[int, object]]) -> None:
    told: set[str] = set()
    for _, _, _, after, effects in run(steps):
        for note in effects:
            if isinstance(note, Note) and note.kind is FactKind.OUTLET_ALARM:
                assert note.reason not in told
                told.add(note.reason)
            elif isinstance(note, Note) and note.kind is FactKind.OUTLET_ALARM_CLEARED:
                told.remove(note.reason)
        assert told == set(after.alarms)


@many
@given(STEPS)
def test_every_fact_can_be_written_down(steps: list[tuple[int, object]]) -> None:
    for _, _, _, _, effects in run(steps):
        for note in effects:
            if isinstance(note, Note):
                data = {k: told(v) if k == "evidence" else v for k, v in note.data.items()}
                json.dumps(data, allow_nan=False)


@many
@given(STEPS)
def test_what_forbids_a_start_forbids_an_on(steps: list[tuple[int, object]]) -> None:
    for before, _, _, _, effects in run(steps):
        starts = before.phase in (Phase.GRANTED, Phase.WAITING)
        if any(isinstance(e, SwitchOn) for e in effects) and starts:
            assert not set(FORBIDS_START) & set(before.holds)


@many
@given(STEPS)
def test_what_circuits_feed_goes_on_when_they_say_so_and_on_no_other_account(
    steps: list[tuple[int, object]],
) -> None:
    for before, event, _, after, effects in run(steps):
        if before.is_fed and any(isinstance(e, SwitchOn) for e in effects):
            assert isinstance(event, Proceed) or before.phase is Phase.STARTING
        if after.phase is Phase.WAITING:
            assert after.lease is not None
            assert after.is_fed


@many
@given(STEPS)
def test_a_lease_that_waits_keeps_its_end_and_its_energy(
    steps: list[tuple[int, object]],
) -> None:
    for before, event, _, after, _ in run(steps):
        same = before.lease is not None and after.lease is not None
        if same and not isinstance(event, Renew):
            assert before.lease == after.lease
            assert after.energy.total_uj >= before.energy.total_uj or after.energy.register_mwh
            assert after.earlier_on_ms >= before.earlier_on_ms
