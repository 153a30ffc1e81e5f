"""What a circuit carries: by its meter, by its outlets, by what they may draw."""

from __future__ import annotations

from gateway.config import Circuit
from gateway.core.ids import OutletId
from gateway.guard.circuit_load import Knowledge, Scene, carried, trees_of
from tests.support.circuits import Yard, circuit, started, tree_of, yard


def test_a_circuit_counts_what_its_meter_shows() -> None:
    shed = started(meter=OutletId("m"))
    shed.others_w["top"] = 60.0
    shed.steps(20)
    assert shed.sheds == []
    shed.others_w["top"] = 200.0
    shed.steps(12)
    assert [who for _, who, _ in shed.sheds] == ["c"]


def test_a_lost_meter_makes_outlets_count_with_their_limits() -> None:
    shed = yard(power_w=2_500, meter=OutletId("m"))
    shed.metered("top", 0)
    shed.ask("a", "b")
    shed.step()
    shed.steps(9)
    assert shed.running == ["a", "b"]
    assert shed.notes == []
    shed.steps(2)
    assert shed.notes == ["circuit.meter_lost top"]
    shed.ask("c")
    shed.steps(30)
    assert shed.waiting == ["c"], "2 x 1000 W and 1000 W more are above 2500 W"
    assert shed.sheds == []
    shed.metered("top", 200)
    shed.step()
    assert shed.running == ["a", "b", "c"]
    assert shed.notes == ["circuit.meter_lost top", "circuit.meter_found top"]


def test_a_lost_meter_sheds_what_could_be_too_much() -> None:
    shed = yard(power_w=2_500, meter=OutletId("m"))
    shed.metered("top", 300)
    shed.ask("a", "b", "c")
    shed.step()
    for _ in range(10):
        shed.metered("top", 300)
        shed.step(1)
    assert shed.running == ["a", "b", "c"]
    shed.steps(21)
    assert [who for _, who, _ in shed.sheds] == ["c"]


def test_a_meter_that_shows_less_than_its_outlets_is_not_believed() -> None:
    shed = started(meter=OutletId("m"))
    shed.metered("top", 0)
    (one,) = carried(shed.tree, shed.scene())
    assert one.base.power_w == 900


def test_an_outlet_that_nobody_measures_counts_with_its_limit() -> None:
    shed = started()
    scene = shed.scene()
    usages = [scene.usages[0]._replace(measured=None), *scene.usages[1:]]
    (one,) = carried(shed.tree, Scene(usages, {}, shed.now_ms))
    assert one.base.power_w == 1_000 + 600


def test_a_healthy_meter_beneath_a_lost_one_counts() -> None:
    tree = tree_of(
        circuit("top", "a", power_w=9_000, meter=OutletId("m")),
        circuit("left", "b", "c", parent="top", power_w=9_000, meter=OutletId("n")),
    )
    shed = Yard(tree, would_w={"a": 100, "b": 100, "c": 100}, start_w=100)
    shed.metered("left", 250)
    shed.metered("top", 350)
    shed.ask("a", "b", "c")
    shed.step()
    shed.steps(6)
    shed.now_ms += 6_000
    shed.metered("left", 250)
    top, left = carried(tree, shed.scene())
    assert left.base.power_w == 250
    assert top.known is Knowledge.LIMITS
    assert top.base.power_w == 1_000 + 250


def test_trees_are_kept_apart() -> None:
    circuits: list[Circuit] = [
        circuit("one", "a", power_w=1),
        circuit("two", "b", power_w=1),
        circuit("under", "c", parent="one", power_w=1),
    ]
    first, second = trees_of(circuits)
    assert [c.id for c in first.circuits] == ["one", "under"]
    assert first.lines[OutletId("c")] == (1, 0)
    assert [c.id for c in second.circuits] == ["two"]
