"""The guard's figures for Prometheus: counted as they happen, written out when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.core.clock import Clock
from gateway.core.facts import FactKind
from gateway.guard import requests
from gateway.guard.effects import Note
from gateway.guard.fleet import Fleet
from gateway.guard.journal import Journal
from gateway.guard.journal_writer import Condition
from gateway.guard.views import BusFigures
from gateway.link.circuits import CircuitState, CircuitView

Circuits = Callable[[], tuple[CircuitView, ...]]
"""Shows every circuit."""

LAG_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
AGE_BUCKETS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters of one run."""

    def __init__(
        self,
        fleet: Fleet,
        journal: Journal,
        drivers: Sequence[BusFigures],
        clock: Clock,
        circuits: Circuits = tuple,
    ) -> None:
        self._registry = CollectorRegistry()
        self.samples = Counter(
            "pilegate_samples", "Samples taken of outlets.", registry=self._registry
        ).inc
        self._ends = Counter(
            "pilegate_ends", "Leases that ended.", ["reason"], registry=self._registry
        )
        self._cuts = Counter(
            "pilegate_cuts", "Outlets cut off and latched.", ["reason"], registry=self._registry
        )
        self._alarms = Counter(
            "pilegate_alarms", "Alarms of outlets.", ["reason"], registry=self._registry
        )
        self._lag = Histogram(
            "pilegate_guard_loop_lag_seconds",
            "How late the guard's event loop was.",
            buckets=LAG_BUCKETS_S,
            registry=self._registry,
        )
        self.lag = self._lag.observe
        self._registry.register(_Now(fleet, journal, drivers, clock))
        self._registry.register(_Feeds(circuits))

    def note(self, note: Note) -> None:
        """Count what happened to an outlet."""
        if note.kind is FactKind.LEASE_ENDED:
            self._ends.labels(str(note.reason)).inc()
        elif note.kind is FactKind.OUTLET_CUT:
            self._cuts.labels(str(note.reason)).inc()
        elif note.kind is FactKind.OUTLET_ALARM:
            self._alarms.labels(str(note.reason)).inc()

    def text(self) -> str:
        """Return the text exposition. Takes milliseconds: call it in a worker thread."""
        return generate_latest(self._registry).decode("utf-8")


class _Feeds(Collector):
    """What circuits carry, read off when somebody asks."""

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    def describe(self) -> Iterable[Metric]:
        """Describe nothing ahead: the names do not collide."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read every circuit off once."""
        power = GaugeMetricFamily(
            "pilegate_circuit_power_watts",
            "What a circuit carries.",
            labels=["circuit", "known_by"],
        )
        current = GaugeMetricFamily(
            "pilegate_circuit_current_amperes", "What a circuit carries.", labels=["circuit"]
        )
        limits = GaugeMetricFamily(
            "pilegate_circuit_limit", "What a circuit may carry.", labels=["circuit", "unit"]
        )
        waiting = GaugeMetricFamily(
            "pilegate_circuit_waiting", "Outlets that wait for room.", labels=["circuit"]
        )
        opened = GaugeMetricFamily(
            "pilegate_contactor_opened", "1: opened until released on site.", labels=["circuit"]
        )
        for view in self._circuits():
            power.add_metric([view.circuit, view.known_by], view.power_w)
            current.add_metric([view.circuit], view.current_a)
            for unit, limit in (("W", view.limit_w), ("A", view.limit_a)):
                if limit is not None:
                    limits.add_metric([view.circuit, unit], limit)
            waiting.add_metric([view.circuit], len(view.waiting))
            if view.contactor is not None:
                opened.add_metric([view.circuit], view.state is CircuitState.OPENED)
        yield from (power, current, limits, waiting, opened)


class _Now(Collector):
    """What is read off when somebody asks."""

    def __init__(
        self, fleet: Fleet, journal: Journal, drivers: Sequence[BusFigures], clock: Clock
    ) -> None:
        self._fleet = fleet
        self._journal = journal
        self._drivers = drivers
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Describe nothing ahead: the names do not collide."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Read everything off once."""
        yield from self._buses()
        yield self._outlets()
        yield self._ages()
        figures = self._journal.figures()
        well = self._journal.state.condition is Condition.OK
        yield _gauge("pilegate_journal_ok", "1: entries reach the disk; 0: they wait.", well)
        yield _gauge("pilegate_journal_waiting", "Entries that wait.", figures.waiting)
        yield _gauge(
            "pilegate_journal_behind_seconds",
            "How long the oldest entries have been tried to be written; 0: none wait.",
            figures.behind_s,
        )
        yield _count(
            "pilegate_journal_refused",
            "Entries that found no room: leases not granted, minutes, refusals.",
            figures.refused,
        )
        yield _gauge(
            "pilegate_journal_log_bytes", "Size of the write-ahead log.", figures.log_bytes
        )
        yield _gauge("pilegate_journal_bytes", "Size of the journal.", figures.size_bytes)
        yield _gauge("pilegate_journal_last_seq", "Last fact's number.", figures.last_seq)
        yield _count("pilegate_journal_retries", "Writes tried again.", figures.retries)
        dropped = figures.dropped_facts
        yield _count("pilegate_journal_dropped_facts", "Facts that found no room.", dropped)
        dropped = figures.dropped_flights
        yield _count(
            "pilegate_journal_dropped_flights", "Flight records that found no room.", dropped
        )

    def _buses(self) -> Iterable[Metric]:
        use = GaugeMetricFamily(
            "pilegate_bus_utilisation", "Share of time the wire is needed.", labels=["bus"]
        )
        cycle = GaugeMetricFamily(
            "pilegate_bus_cycle_seconds", "Duration of the last poll round.", labels=["bus"]
        )
        oldest = GaugeMetricFamily(
            "pilegate_bus_oldest_value_seconds",
            "Age of the oldest value of devices that answer, of those wanted fast and slowly.",
            labels=["bus", "poll"],
        )
        queue = GaugeMetricFamily("pilegate_bus_queue_depth", "Commands that wait.", labels=["bus"])
        requests_ = CounterMetricFamily("pilegate_bus_requests", "Requests sent.", labels=["bus"])
        timeouts = CounterMetricFamily(
            "pilegate_bus_timeouts", "Answers that did not come.", labels=["bus"]
        )
        errors = CounterMetricFamily(
            "pilegate_bus_errors", "Wrong data on the wire.", labels=["bus", "kind"]
        )
        for driver in self._drivers:
            stats = driver.stats()
            use.add_metric([driver.id], stats.utilisation)
            if stats.cycle_ms is not None:
                cycle.add_metric([driver.id], stats.cycle_ms / 1000)
            ages_ms = {"fast": stats.oldest_fast_ms, "slow": stats.oldest_slow_ms}
            for poll, age_ms in ages_ms.items():
                if age_ms is not None:
                    oldest.add_metric([driver.id, poll], age_ms / 1000)
            queue.add_metric([driver.id], stats.queue_depth)
            requests_.add_metric([driver.id], stats.requests)
            timeouts.add_metric([driver.id], stats.timeouts)
            for kind, count in list(stats.errors.items()):
                errors.add_metric([driver.id, kind], count)
        return use, cycle, oldest, queue, requests_, timeouts, errors

    def _outlets(self) -> Metric:
        family = GaugeMetricFamily("pilegate_outlets", "Outlets by phase.", labels=["phase"])
        counts: dict[str, int] = {}
        for outlet in self._fleet.outlets.values():
            phase = "latched" if outlet.state.latch is not None else outlet.state.phase.value
            counts[phase] = counts.get(phase, 0) + 1
        for phase, count in sorted(counts.items()):
            family.add_metric([phase], count)
        return family

    def _ages(self) -> Metric:
        """How old the newest sample of each outlet is, now: a histogram over outlets."""
        now_ms = self._clock.now().mono_ms
        ages_s = []
        for outlet in self._fleet.outlets.values():
            state = outlet.state
            heard_ms = requests.last_heard_ms(state)
            if heard_ms is not None:
                ages_s.append((now_ms - heard_ms) / 1000)
        family = GaugeMetricFamily(
            "pilegate_sample_age_outlets",
            "Outlets whose newest sample is at most so many seconds old.",
            labels=["le_seconds"],
        )
        for bucket_s in AGE_BUCKETS_S:
            family.add_metric([str(bucket_s)], sum(age_s <= bucket_s for age_s in ages_s))
        return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
