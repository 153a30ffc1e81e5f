"""What a run saw, with the monotonic time at which it was seen, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.facts import Fact
from simulators.scenario import Scenario
from simulators.verdict import Line, Result, Verdict, judge


@dataclass(frozen=True, slots=True)
class Seen:
    """A fact and when it arrived here."""

    fact: Fact
    mono_ns: int


@dataclass(slots=True)
class Log:
    """All facts since the guard was reached, all causes, and commands that went wrong."""

    zero_ns: int | None = None
    """Time zero of the scenario."""
    facts: list[Seen] = field(default_factory=list)
    causes: dict[str, int] = field(default_factory=dict)
    """Id of a step to the monotonic ns at which it was done."""
    wrong_commands: list[str] = field(default_factory=list)
    """One line each: commands that went otherwise than the scenario says."""

    def at_s(self, mono_ns: int) -> float:
        """Give seconds since time zero, 0 before it."""
        return 0.0 if self.zero_ns is None else (mono_ns - self.zero_ns) / 1e9

    def verdict(self, scenario: Scenario, slack_s: float = 0.0) -> Verdict:
        """Judge what was seen from time zero to the end of the scenario.

        What is expected may be ``slack_s`` later than its bound, also after the end; what is
        not expected counts until the end.
        """
        assert self.zero_ns is not None
        end_ns = self.zero_ns + round((scenario.duration_s + slack_s) * 1e9)
        expect = [
            one.model_copy(update={"within_s": one.within_s + slack_s}) for one in scenario.expect
        ]
        observed = [
            {
                "kind": seen.fact.kind,
                "subject": seen.fact.subject,
                "reason": seen.fact.reason,
                "mono_ns": seen.mono_ns,
            }
            for seen in self.facts
            if self.zero_ns <= seen.mono_ns <= end_ns
        ]
        verdict = judge(expect, scenario.watch, self.causes, self.zero_ns, observed)
        return Verdict(tuple(one for one in verdict.lines if not _is_after(scenario, one)))


def _is_after(scenario: Scenario, line: Line) -> bool:
    """Say whether a line is about something after the end that nobody waited for."""
    is_late = line.delay_s is not None and line.delay_s > scenario.duration_s
    return line.result is Result.UNEXPECTED and is_late
