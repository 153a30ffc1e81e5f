from __future__ import annotations

from typing import Any

from gateway.core.facts import FactKind
from simulators.scenario import DEFAULT_WATCH, Expectation
from simulators.verdict import Result, Verdict, judge, table

START_NS = 1_000_000_000_000


def at(seconds: float) -> int:
    return START_NS + round(seconds * 1e9)


def expected(**fields: Any) -> Expectation:
    return Expectation.model_validate({"fact": "outlet.cut", "within_s": 2, **fields})


def seen(second: float, outlet: str = "n1-1", kind: str = "outlet.cut", reason: str = "") -> Any:
    return {"kind": kind, "outlet": outlet, "reason": reason, "mono_ns": at(second), "data": {}}


def judged(
    expect: list[Expectation], observed: list[Any], causes: dict[str, float] | None = None
) -> Verdict:
    causes_ns = {name: at(second) for name, second in (causes or {}).items()}
    return judge(expect, DEFAULT_WATCH, causes_ns, START_NS, observed)


def results(verdict: Verdict) -> list[str]:
    return [str(line.result) for line in verdict.lines]


def test_a_fact_in_time_is_ok_and_its_delay_counts_from_its_cause() -> None:
    verdict = judged(
        [expected(outlet="n1-1", reason="overpower", after="over")],
        [seen(7.5, reason="overpower")],
        {"over": 6.0},
    )
    assert verdict.passed
    line = verdict.lines[0]
    assert (line.delay_s, line.bound_s, line.after) == (1.5, 2, "over")


def test_a_fact_exactly_at_its_bound_is_in_time() -> None:
    assert judged([expected()], [seen(2.0)]).passed
    assert results(judged([expected()], [seen(2.0001)])) == ["late"]


def test_late_early_missing_and_too_many() -> None:
    verdict = judged(
        [
            expected(outlet="n1-1"),
            expected(outlet="n1-2", not_before_s=1),
            expected(outlet="n1-3"),
        ],
        [seen(3.0, "n1-1"), seen(0.5, "n1-2"), seen(1.0, "n1-4", reason="welded")],
    )
    assert results(verdict) == ["late", "early", "missing", "unexpected"]
    assert not verdict.passed
    assert verdict.lines[3].about == "n1-4"
    assert verdict.lines[3].reason == "welded"


def test_a_wrong_reason_is_missing_and_too_many() -> None:
    verdict = judged([expected(reason="full")], [seen(1.0, reason="unplugged")])
    assert results(verdict) == ["missing", "unexpected"]


def test_each_fact_answers_one_expectation() -> None:
    twice = [expected(outlet="n1-1"), expected(outlet="n1-1")]
    assert results(judged(twice, [seen(1.0)])) == ["ok", "missing"]
    assert judged(twice, [seen(1.0), seen(1.5)]).passed
    verdict = judged(twice, [seen(1.0), seen(1.5), seen(1.6)])
    assert results(verdict) == ["ok", "ok", "unexpected"]


def test_facts_go_where_they_are_in_time() -> None:
    # The first cause brought nothing; its expectation must not take the second one's fact.
    expect = [expected(after="first"), expected(after="second")]
    verdict = judged(expect, [seen(11.0)], {"first": 1.0, "second": 10.0})
    assert results(verdict) == ["missing", "ok"]


def test_the_window_that_ends_first_is_served_first() -> None:
    expect = [expected(within_s=10), expected(within_s=2)]
    assert judged(expect, [seen(1.0), seen(8.0)]).passed


def test_a_fact_before_its_cause_does_not_count() -> None:
    verdict = judged([expected(after="over")], [seen(4.0)], {"over": 5.0})
    assert results(verdict) == ["missing", "unexpected"]


def test_a_cause_that_did_not_happen() -> None:
    verdict = judged([expected(after="over")], [])
    assert verdict.lines[0].result is Result.MISSING
    assert verdict.lines[0].note == "its cause did not happen"


def test_kinds_that_are_not_watched_may_come_unasked() -> None:
    assert judged([], [seen(1.0, kind="outlet.on"), seen(1.0, kind="lease.started")]).passed
    assert not judged([], [seen(1.0, kind="lease.ended")]).passed
    assert not judged([], [seen(1.0, kind="outlet.alarm")]).passed


def test_facts_about_other_things_than_outlets() -> None:
    expect = [expected(fact=FactKind.DEVICE_LOST, subject="device/m1")]
    lost = {"kind": "device.lost", "subject": "device/m1", "reason": "", "mono_ns": at(1)}
    assert judged(expect, [lost]).passed
    assert not judged(expect, [{**lost, "subject": "device/m2"}]).passed


def test_the_table_shows_every_line() -> None:
    verdict = judged(
        [expected(outlet="n1-1", after="over"), expected(outlet="n1-2", not_before_s=1)],
        [seen(6.25, "n1-1"), seen(0.5, "n1-2"), seen(9.0, "n1-9", reason="welded")],
        {"over": 6.0},
    )
    text = table(verdict).splitlines()

    assert text[0].split() == ["event", "outlet", "reason", "after", "bound", "delay", "result"]
    assert text[1].split() == ["outlet.cut", "n1-1", "over", "2", "s", "0.25", "s", "ok"]
    assert text[2].endswith("early: not before 1 s")
    assert text[3].split()[-1] == "unexpected"
    assert len(text) == 4
