"""How a guard ends: what it still has to write down reaches the journal, whatever ended it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.ids import OutletId
from gateway.guard.app import Guard
from gateway.guard.minutes import MINUTE_MS
from gateway.guard.model import Sample
from gateway.link.journal import JournalReader, journal_path
from tests.support.journal import UTC_MS, entry
from tests.support.shed import HandClock, small_site

MANY = 300
MINUTE = UTC_MS // MINUTE_MS * MINUTE_MS
OUTLET = OutletId("n1-1")


async def _run(folder: Path, while_it_runs: Callable[[Guard], None]) -> None:
    """Run a guard whose bus is not there, do something in its loop, and let it end."""
    guard = Guard(small_site(folder), folder, HandClock(utc_ms=UTC_MS))

    async def tick() -> None:
        await asyncio.sleep(0.05)  # everything else has begun
        while_it_runs(guard)
        await asyncio.Event().wait()

    guard._tick = tick  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        await guard.run()


def test_a_task_that_fails_ends_the_guard_after_all_is_written(tmp_path: Path) -> None:
    def fail(guard: Guard) -> None:
        for number in range(MANY):
            guard.journal.put(entry(n=number))
        raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(_run(tmp_path, fail))
    assert caught.group_contains(RuntimeError, match="a bug")
    with JournalReader(journal_path(tmp_path)) as reader:
        facts = reader.facts_after(0)
    assert facts[0].kind == "guard.started"
    written = [fact.data["n"] for fact in facts if "n" in fact.data]
    assert written == list(range(MANY))


def test_minutes_that_are_being_filled_are_written_at_the_end(tmp_path: Path) -> None:
    def stop(guard: Guard) -> None:
        sample = Sample(at_ms=1, utc_ms=MINUTE, power_w=100.0)
        for outlet in ("n1-1", "n2-6"):
            guard.counting.minutes.add(outlet, sample, 0)
        guard.stop()

    asyncio.run(_run(tmp_path, stop))
    with JournalReader(journal_path(tmp_path)) as reader:
        found = [reader.minutes(outlet, MINUTE, MINUTE + 1) for outlet in ("n1-1", "n2-6", "n1-2")]
        assert reader.facts_after(0)[-1].kind == "guard.stopped"
    assert [[minute.samples for minute in minutes] for minutes in found] == [[1], [1], []]


def test_statistics_that_fail_are_told_once_and_stop_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    def count(guard: Guard) -> None:
        monkeypatch.setattr(guard.counting.minutes, "close", broken)
        for at_ms in range(3):
            guard.fleet.on_sample(OUTLET, Sample(at_ms=at_ms, utc_ms=MINUTE, relay_on=False))
            guard.counting.count()
        guard.stop()

    with caplog.at_level(logging.ERROR):
        asyncio.run(_run(tmp_path, count))
    assert len([record for record in caplog.records if record.exc_info]) == 1
    with JournalReader(journal_path(tmp_path)) as reader:
        assert reader.facts_after(0)[-1].kind == "guard.stopped"
