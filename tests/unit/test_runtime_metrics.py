from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from api.metrics import Metrics as ServeMetrics
from drivers.stats import BusStats
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import BusId, OutletId
from gateway.core.reasons import Reason
from gateway.guard.effects import Note
from gateway.guard.fleet import Fleet
from gateway.guard.journal import Journal
from gateway.guard.metrics import Metrics
from gateway.guard.model import Sample
from gateway.guard.recorder import FactRecorder
from tests.support.shed import HandClock, small_site


@dataclass
class OneBus:
    id: BusId

    def stats(self) -> BusStats:
        return BusStats(
            utilisation=0.5,
            busy_ms=5.0,
            requests=9,
            timeouts=1,
            errors={'odd "kind"\n': 2},
            cycle_ms=800.0,
            queue_depth=3,
            oldest_fast_ms=2_500.0,
        )


def _text(folder: Path) -> str:
    async def read() -> str:
        site, clock, journal = small_site(folder), HandClock(), Journal(folder / "guard.db")
        written: list[FactDraft] = []
        fleet = Fleet(
            site,
            clock=clock,
            recorder=FactRecorder(journal, clock, lambda _: None),
            write_fact=written.append,
            on_sample=lambda *_: None,
            latches={},
            locks=(),
        )
        metrics = Metrics(fleet, journal, [OneBus(BusId("net1"))], clock)
        now = clock.now()
        fleet.on_sample(
            OutletId("n1-1"),
            Sample(
                at_ms=now.mono_ms, utc_ms=now.utc_ms, current_a=0.0, power_w=0.0, relay_on=False
            ),
        )
        clock.go(4)
        metrics.samples(7)
        metrics.lag(0.003)
        for kind in (FactKind.LEASE_ENDED, FactKind.OUTLET_CUT, FactKind.OUTLET_ALARM):
            metrics.note(Note(kind=kind, reason=Reason.OVERPOWER, data={}))
        await journal.close()
        return metrics.text()

    return asyncio.run(read())


def test_the_exposition_is_valid_and_says_what_happened(tmp_path: Path) -> None:
    families = list(text_string_to_metric_families(_text(tmp_path)))
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
    assert values["pilegate_samples_total",] == 7
    assert values["pilegate_ends_total", "overpower"] == 1
    assert values["pilegate_cuts_total", "overpower"] == 1
    assert values["pilegate_bus_utilisation", "net1"] == 0.5
    assert values["pilegate_bus_queue_depth", "net1"] == 3
    assert values["pilegate_bus_oldest_value_seconds", "fast", "net1"] == 2.5
    assert ("pilegate_bus_oldest_value_seconds", "net1", "slow") not in values
    assert values["pilegate_bus_errors_total", "net1", 'odd "kind"\n'] == 2
    assert values["pilegate_guard_loop_lag_seconds_bucket", "0.005"] == 1
    assert values["pilegate_guard_loop_lag_seconds_bucket", "0.002"] == 0
    assert values["pilegate_journal_ok",] == 1
    assert values["pilegate_sample_age_outlets", "3.0"] == 0
    assert values["pilegate_sample_age_outlets", "5.0"] == 1


def test_the_figures_of_both_processes_stand_in_one_page(tmp_path: Path) -> None:
    text = ServeMetrics().text()
    serve = text if isinstance(text, str) else text.decode()
    names = [family.name for family in text_string_to_metric_families(serve + _text(tmp_path))]
    assert len(names) == len(set(names))
