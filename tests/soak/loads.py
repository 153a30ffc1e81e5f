"""What is plugged in: random loads and the recorded ones, and what they are taken for."""

from __future__ import annotations

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.guard.limits import WrongAppliance
from gateway.guard.load import Judgement, Kind, Plugged, follow, judge
from gateway.guard.model import Sample
from simulators.appliances import Appliance, ApplianceSettings
from simulators.chargers import Standby
from simulators.physics import Load, draw_at
from tests.bench.figures import table
from tests.soak.course import draw_charge
from tests.soak.ranges import LOST_POLLS, RANGES

TRACES = Path(__file__).parents[2] / "config" / "traces"
RULE = WrongAppliance()
JUDGED_AFTER_S = 10
"""Power flows for so long when the judgement is asked for: the rule's own delay by default."""
WORST = 3
"""Loads that are told of each confusion, with their seeds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One load, and what it was taken for."""

    truth: str
    about: str
    found: Judgement

    @property
    def is_right(self) -> bool:
        return self.found.kind is MEANT[self.truth]

    @property
    def is_false_alarm(self) -> bool:
        """Whether the rule would act on a charger."""
        found = self.found
        taken = found.kind is Kind.APPLIANCE and found.level_w > RULE.resistive_above_w
        return taken and MEANT[self.truth] is Kind.CHARGER


MEANT = {
    "nothing": Kind.NOTHING,
    "charger": Kind.CHARGER,
    "resistive appliance": Kind.APPLIANCE,
    "motor appliance": Kind.APPLIANCE,
    "recorded charger": Kind.CHARGER,
    "recorded appliance": Kind.APPLIANCE,
}


def soak_loads(count: int, seed: int) -> bool:
    """Judge ``count`` loads of each kind; good when no charger would be told as an appliance."""
    seen = [*_recorded()]
    for truth, make in _MAKERS.items():
        seen += [_look(truth, make, seed + number) for number in range(count)]
    _print_confusion(seen)
    _print_wrong(seen)
    unknown = sum(one.found.kind is Kind.UNKNOWN for one in seen) / len(seen)
    print(
        f"{len(seen)} loads, {unknown:.1%} unknown after {JUDGED_AFTER_S} s of power,"
        f" {sum(one.is_false_alarm for one in seen)} chargers told as appliances"
    )
    return not any(one.is_false_alarm for one in seen)


def _charger(rng: random.Random) -> tuple[Load, str]:
    charge = draw_charge(rng)
    about = f"{charge.kind} {charge.plateau_w:.0f} W at a power factor of {charge.power_factor:.2f}"
    return charge.rider(), about


def _resistive(rng: random.Random) -> tuple[Load, str]:
    power_w = RANGES["resistive appliance"].draw(rng)
    return Appliance(ApplianceSettings(power_w=power_w)), f"{power_w:.0f} W"


def _motor(rng: random.Random) -> tuple[Load, str]:
    settings = ApplianceSettings(
        power_w=RANGES["motor appliance"].draw(rng),
        power_factor=RANGES["motor, power factor"].draw(rng),
        ripple=RANGES["motor, ripple"].draw(rng),
        inrush=RANGES["motor, inrush"].draw(rng),
        resistive=False,
    )
    about = f"{settings.power_w:.0f} W at a power factor of {settings.power_factor:.2f}"
    return Appliance(settings, rng.getrandbits(32)), about


def _nothing(rng: random.Random) -> tuple[Load, str]:
    power_w = RANGES["standby of a charger without a battery"].draw(rng)
    return Standby(power_w), f"{power_w:.1f} W"


_MAKERS: dict[str, Callable[[random.Random], tuple[Load, str]]] = {
    "nothing": _nothing,
    "charger": _charger,
    "resistive appliance": _resistive,
    "motor appliance": _motor,
}


def _look(truth: str, make: Callable[[random.Random], tuple[Load, str]], seed: int) -> Seen:
    """Switch an outlet on with the load in it, or plug it in later, and poll each second."""
    rng = random.Random(seed)
    load, about = make(rng)
    emf_v, ohm = RANGES["mains"].draw(rng), RANGES["way to the outlet"].draw(rng)
    volts_rms = RANGES["noise of the mains"].draw(rng)
    load_rms = RANGES["noise of the load"].draw(rng)
    # Polls do not begin when power does.
    first_s = rng.uniform(0.05, 1.0)
    plugged, amps = Plugged(), 0.0
    for second in range(40):
        volts = emf_v + volts_rms * rng.gauss(0, 1) - ohm * amps
        draw = load.step(first_s if second == 0 else 1.0, volts)
        amps = draw.current_a
        if rng.random() < LOST_POLLS:
            continue
        noise = 1 + load_rms * rng.gauss(0, 1)
        plugged = follow(
            plugged, _sample(second, volts, draw.current_a * noise, draw.power_w * noise)
        )
        if plugged.since_ms is not None and _since_s(plugged, second) >= JUDGED_AFTER_S:
            break
    return Seen(truth, f"seed {seed}: {about}, {emf_v:.0f} V", judge(plugged, RULE))


def _since_s(plugged: Plugged, second: float) -> float:
    assert plugged.since_ms is not None
    return second - plugged.since_ms / 1000


def _sample(second: float, volts: float, amps: float, watts: float) -> Sample:
    at_ms = round(second * 1000)
    return Sample(
        at_ms=at_ms,
        utc_ms=at_ms,
        voltage_v=round(volts, 1),
        current_a=round(amps, 2),
        power_w=round(watts, 1),
    )


def _recorded() -> Iterator[Seen]:
    """Recordings hold power alone: the power factor is that of the kind of load."""
    for path in sorted(TRACES.glob("*.csv")):
        is_charger = path.stem.startswith("ebike")
        factor = 0.6 if is_charger else (1.0 if "kettle" in path.stem else 0.95)
        truth = "recorded charger" if is_charger else "recorded appliance"
        plugged = Plugged()
        for second, watts in _polls(path):
            draw = draw_at(watts, 230.0, factor)
            plugged = follow(plugged, _sample(second, 230.0, draw.current_a, watts))
            if plugged.since_ms is not None and _since_s(plugged, second) >= JUDGED_AFTER_S:
                break
        yield Seen(truth, path.name, judge(plugged, RULE))


def _polls(path: Path) -> Iterator[tuple[int, float]]:
    """Poll a recording each second; a row holds until the next one."""
    with path.open(encoding="utf-8") as file:
        rows = [(float(row["seconds"]), float(row["power_w"])) for row in csv.DictReader(file)]
    index = 0
    for second in range(int(rows[-1][0]) + 1):
        while index + 1 < len(rows) and rows[index + 1][0] <= second:
            index += 1
        yield second, rows[index][1]


def _print_confusion(seen: Iterable[Seen]) -> None:
    counts: dict[str, Counter[Kind]] = defaultdict(Counter)
    sure: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        counts[one.truth][one.found.kind] += 1
        sure[one.truth].append(one.found.confidence)
    rows = []
    for truth in MEANT:
        found, total = counts[truth], counts[truth].total()
        right, unknown = found[MEANT[truth]], found[Kind.UNKNOWN]
        rows.append(
            (
                truth,
                *(found[kind] for kind in Kind),
                f"{right / total:.1%}",
                f"{(total - right - unknown) / total:.1%}",
                f"{sum(sure[truth]) / total:.2f}",
            )
        )
    print()
    print(table(["what it is", *Kind, "right", "wrong", "confidence"], rows))


def _print_wrong(seen: Iterable[Seen]) -> None:
    wrong: dict[tuple[str, Kind], list[Seen]] = defaultdict(list)
    for one in seen:
        if not one.is_right:
            wrong[one.truth, one.found.kind].append(one)
    for (truth, kind), cases in wrong.items():
        cases.sort(key=lambda case: -case.found.confidence)
        print(f"\n{truth} taken for {kind}: {len(cases)}, such as")
        for case in cases[:WORST]:
            found = case.found
            factor = "-" if found.power_factor is None else f"{found.power_factor:.2f}"
            print(
                f"  {case.about}: level {found.level_w:.0f} W, power factor {factor},"
                f" stepped {found.stepped}, confidence {found.confidence}"
            )
