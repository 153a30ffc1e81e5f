"""Leases that wait for room on a circuit, and those that have to make room."""

from __future__ import annotations

from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard import failsafe
from gateway.guard.effects import Effect, Note, Refusal, SwitchOff, SwitchOn
from gateway.guard.events import Held, LeaseDurable, Lock, MakeRoom, Proceed, RequestOff, RequestOn
from gateway.guard.state import Phase
from tests.support.machine import Machine


def fed() -> Machine:
    machine = Machine()
    machine.state = machine.state._replace(is_fed=True)
    machine.sample()
    return machine


def waiting(for_s: float = 600.0, energy_mwh: int | None = None) -> Machine:
    machine = fed()
    machine.ask_on(machine.lease(for_s=for_s, energy_mwh=energy_mwh))
    machine.feed(LeaseDurable(lease_id="lease-1"))
    return machine


def running(for_s: float = 600.0, energy_mwh: int | None = None) -> Machine:
    machine = waiting(for_s, energy_mwh)
    machine.feed(Proceed(lease_id="lease-1"))
    machine.sample(150)
    assert phase(machine) is Phase.ON
    return machine


def shed(for_s: float = 600.0, energy_mwh: int | None = None) -> Machine:
    machine = running(for_s, energy_mwh)
    for _ in range(9):
        machine.sample(150)
    machine.feed(MakeRoom(circuit="north", reason=Reason.CIRCUIT_OVER, evidence={"power_w": 9}))
    return machine


def phase(machine: Machine) -> Phase:
    return machine.state.phase


def kinds(effects: tuple[Effect, ...]) -> list[FactKind]:
    return [effect.kind for effect in effects if isinstance(effect, Note)]


def refusal(effects: tuple[Effect, ...]) -> str:
    return next((effect.code for effect in effects if isinstance(effect, Refusal)), "")


def test_a_durable_lease_waits_for_its_circuits() -> None:
    machine = waiting()
    assert phase(machine) is Phase.WAITING
    assert not machine.relay_on
    effects = machine.feed(Proceed(lease_id="lease-1"))
    assert [type(effect) for effect in effects] == [SwitchOn]
    assert phase(machine) is Phase.STARTING


def test_that_it_waits_is_told_once() -> None:
    machine = waiting()
    effects = machine.feed(Held(circuit="north"))
    assert kinds(effects) == [FactKind.OUTLET_WAITING]
    assert isinstance(effects[0], Note)
    assert effects[0].data == {
        "lease_id": "lease-1",
        "request_id": "request-lease-1",
        "circuit": "north",
    }
    assert machine.feed(Held(circuit="site")) == ()
    assert machine.state.waits_for == "site"


def test_a_lease_that_waits_ends_when_it_is_over() -> None:
    machine = waiting(for_s=10)
    machine.tick(9)
    assert phase(machine) is Phase.WAITING
    machine.tick(2)
    assert machine.ends() == ["lease_over"]
    assert phase(machine) is Phase.OFF
    assert list(machine.offs()) == []
    assert machine.notes(FactKind.LEASE_ENDED)[0].data["duration_ms"] == 0


def test_an_off_ends_a_lease_that_waits_and_is_answered_at_once() -> None:
    machine = waiting()
    effects = machine.feed(RequestOff(actor="a", request_id="r"))
    assert kinds(effects) == [FactKind.LEASE_ENDED, FactKind.OUTLET_OFF]
    assert phase(machine) is Phase.OFF


def test_a_lock_ends_a_lease_that_waits() -> None:
    machine = waiting()
    machine.feed(Lock(scope="pile/n1", actor="a"))
    assert machine.ends() == ["locked"]


def test_another_request_finds_it_in_use() -> None:
    machine = waiting()
    assert refusal(machine.feed(RequestOn(lease=machine.lease(name="other")))) == "in_use"
    machine = shed()
    assert refusal(machine.feed(RequestOn(lease=machine.lease(name="other")))) == "in_use"


def test_going_on_is_decided_with_every_check() -> None:
    machine = waiting()
    machine.sample(voltage_v=90.0)
    assert refusal(machine.feed(Proceed(lease_id="lease-1"))) == "undervoltage"
    assert phase(machine) is Phase.WAITING
    machine.sample()
    machine.tick(11)
    assert refusal(machine.feed(Proceed(lease_id="lease-1"))) == "device_silent"
    machine.sample()
    assert refusal(machine.feed(Proceed(lease_id="other"))) == "not_waiting"
    for barred, code in (
        (machine.state._replace(locks=frozenset({"pile/n1"})), "locked"),
        (machine.state._replace(trips=frozenset({"smoke"})), "interlock"),
    ):
        well, machine.state = machine.state, barred
        assert refusal(machine.feed(Proceed(lease_id="lease-1"))) == code
        machine.state = well
    machine.feed(Proceed(lease_id="lease-1"))
    assert phase(machine) is Phase.STARTING


def test_making_room_switches_off_first_and_keeps_the_lease() -> None:
    machine = running()
    effects = machine.feed(MakeRoom(circuit="north", reason=Reason.CIRCUIT_OVER))
    assert isinstance(effects[0], SwitchOff)
    assert effects[0].urgent
    assert kinds(effects) == [FactKind.OUTLET_SHED]
    assert phase(machine) is Phase.STOPPING
    assert machine.state.lease is not None
    effects = machine.sample()
    assert kinds(effects) == [FactKind.OUTLET_OFF]
    assert phase(machine) is Phase.WAITING
    assert machine.state.waits_for == "north"
    assert machine.ends() == []


def test_what_does_not_run_makes_no_room() -> None:
    machine = waiting()
    event = MakeRoom(circuit="north", reason=Reason.CIRCUIT_OVER)
    assert refusal(machine.feed(event)) == "nothing_to_do"
    assert phase(machine) is Phase.WAITING


def test_a_shed_lease_keeps_its_end() -> None:
    machine = shed(for_s=30)
    machine.sample()
    for _ in range(25):
        machine.sample()
    assert machine.ends() == ["lease_over"]
    ended = machine.notes(FactKind.LEASE_ENDED)[0].data
    assert ended["duration_ms"] == 10_000, "the time it waited is not counted"
    assert ended["energy_mwh"] > 300


def test_a_shed_lease_keeps_its_energy_limit() -> None:
    machine = shed(energy_mwh=700)
    first_mwh = machine.notes(FactKind.OUTLET_SHED)[0].data["energy_mwh"]
    machine.sample()
    machine.feed(Proceed(lease_id="lease-1"))
    for _ in range(15):
        machine.sample(150)
    assert machine.ends() == ["lease_energy"]
    ended = machine.notes(FactKind.LEASE_ENDED)[0].data
    assert ended["energy_mwh"] > first_mwh
    assert ended["energy_mwh"] < 800


def test_a_lease_may_end_while_its_outlet_is_on_its_way_off() -> None:
    machine = shed()
    machine.feed(RequestOff(actor="a", request_id="r"))
    assert machine.ends() == ["requested"]
    assert phase(machine) is Phase.STOPPING
    effects = machine.sample()
    assert kinds(effects) == [FactKind.OUTLET_OFF]
    assert isinstance(effects[0], Note)
    assert effects[0].data["request_id"] == "r"
    assert phase(machine) is Phase.OFF


def test_a_shed_outlet_that_is_welded_is_cut_and_its_lease_ends() -> None:
    machine = shed()
    for _ in range(5):
        machine.sample(current_a=0.5, relay_on=False)
    assert machine.cuts() == ["welded"]
    assert machine.ends() == ["welded"]
    assert phase(machine) is Phase.STOPPING


def test_a_relay_found_closed_while_its_lease_waits_ends_it() -> None:
    machine = waiting()
    machine.sample(relay_on=True)
    assert machine.ends() == ["interrupted"]
    assert phase(machine) is Phase.STOPPING


def test_the_longest_time_counts_from_the_grant() -> None:
    machine = waiting(for_s=80_000)
    machine.tick(36_001)
    assert machine.ends() == ["longest_time"]


def test_nothing_is_counted_for_the_time_it_waited() -> None:
    machine = shed()
    before_mwh = machine.notes(FactKind.OUTLET_SHED)[0].data["energy_mwh"]
    machine.sample(after_s=0.5)
    machine.feed(Proceed(lease_id="lease-1"))
    machine.sample(150, after_s=4.0)
    machine.feed(RequestOff(actor="a"))
    assert machine.notes(FactKind.LEASE_ENDED)[0].data["energy_mwh"] == before_mwh


def test_one_that_could_not_be_judged_is_told_to_go_off_though_its_lease_was_to_wait() -> None:
    machine = shed()
    after, effects = failsafe.switched_off(machine.state, machine.limits, machine.now())
    assert isinstance(effects[0], SwitchOff)
    assert FactKind.LEASE_ENDED in kinds(effects)
    assert after.lease is None
    assert after.phase is Phase.STOPPING
