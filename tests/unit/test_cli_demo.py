"""The parts of the demonstration that decide something without touching anything."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import FixInstallation
from gateway.core.facts import Fact
from gateway.demo.alongside import alongside
from gateway.demo.api_client import _answer
from gateway.demo.log import Log, Seen
from simulators.scenario import Expectation, Scenario, UnplugStep

S = 1_000_000_000


def seen(kind: str, at_s: float, outlet: str = "n1-1", reason: str = "unplugged") -> Seen:
    fact = Fact(1, "i", kind, f"outlet/{outlet}", 0, "synced", "guard", reason, {})
    return Seen(fact, 100 * S + round(at_s * S))


def scenario(*expect: Expectation) -> Scenario:
    return Scenario(
        scenario="x",
        title="x",
        site="x",
        duration_s=10,
        steps=(UnplugStep(at_s=2, id="pull", unplug="n1-1"),),
        expect=expect,
    )


EXPECTED = Expectation.model_validate(
    {
        "fact": "lease.ended",
        "outlet": "n1-1",
        "reason": "unplugged",
        "after": "pull",
        "within_s": 3,
    }
)


@pytest.mark.parametrize(
    ("facts", "passed"),
    [
        ([seen("lease.ended", 4.9)], True),
        ([seen("lease.ended", 5.2)], False),
        ([], False),
        ([seen("lease.ended", 4.9), seen("lease.ended", 6, outlet="n1-2")], False),
        ([seen("lease.ended", 4.9), seen("outlet.off", 6, outlet="n1-2")], True),
        ([seen("lease.ended", -1, outlet="n1-2"), seen("lease.ended", 4.9)], True),
        ([seen("lease.ended", 4.9), seen("lease.ended", 10.1, outlet="n1-2")], True),
    ],
)
def test_only_what_happened_in_the_scenario_is_judged(facts: list[Seen], passed: bool) -> None:
    log = Log(zero_ns=100 * S, facts=facts, causes={"pull": 102 * S})
    assert log.verdict(scenario(EXPECTED)).passed is passed


@pytest.mark.parametrize(
    ("facts", "passed"),
    [
        ([seen("lease.ended", 24.9)], True),
        ([seen("lease.ended", 25.1)], False),
        ([seen("lease.ended", 24.9), seen("lease.ended", 9.9, outlet="n1-2")], False),
        ([seen("lease.ended", 24.9), seen("lease.ended", 10.1, outlet="n1-2")], True),
    ],
)
def test_with_slack_what_is_expected_may_be_late_and_nothing_else(
    facts: list[Seen], passed: bool
) -> None:
    log = Log(zero_ns=100 * S, facts=facts, causes={"pull": 102 * S})
    assert log.verdict(scenario(EXPECTED), slack_s=20).passed is passed


def test_alongside_gives_what_the_main_thing_gives_and_ends_the_others() -> None:
    ended: list[str] = []

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("helper")

    async def main() -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(alongside(main(), helper=for_ever())) == 7
    assert ended == ["helper"]


def test_a_helper_that_fails_ends_the_main_thing_with_its_error() -> None:
    async def fails() -> None:
        raise FixInstallation("guard ended")

    with pytest.raises(FixInstallation, match="guard ended"):
        asyncio.run(alongside(asyncio.sleep(60), helper=fails()))


def test_a_helper_that_returns_is_a_bug() -> None:
    async def returns() -> None:
        return

    with pytest.raises(RuntimeError, match="task helper is meant to run for ever"):
        asyncio.run(alongside(asyncio.sleep(60), helper=returns()))


def test_an_answer_in_chunks() -> None:
    head = "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n"
    answer = _answer(head, b'5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n')
    assert (answer.status, answer.body) == (202, {"a": 1})


def test_a_problem_says_its_detail() -> None:
    answer = _answer("HTTP/1.1 409 Conflict\r\n", b'{"title":"t","detail":"n1-1 is cut"}')
    assert answer.text == "n1-1 is cut"


def test_an_answer_that_is_not_json_has_no_body() -> None:
    answer = _answer("HTTP/1.1 502 Bad Gateway\r\n", b"<html>")
    assert (answer.body, answer.text) == (None, "status 502")
