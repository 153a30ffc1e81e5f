"""Limits of a site file that are wrong or contradict each other: file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site_text import check_refused

BAD: list[tuple[dict[int, str], list[str]]] = [
    ({10: "limits: {overcurent: {above_a: 5}}"}, ["10: limits.overcurent: unknown rule; did you"]),
    (
        {10: "limits: {overcurrent: {above_w: 5}}"},
        ["10: limits.overcurrent.above_w: unknown key; did you mean above_a?"],
    ),
    (
        {10: "limits: {overcurrent: {above_a: '5'}}"},
        ["10: limits.overcurrent.above_a: expected a number, not the text '5'"],
    ),
    (
        {10: "limits: {overcurrent: {above_a: 500, delay_s: -1}}"},
        [
            "10: limits.overcurrent.above_a: above_a is above 0 and at most 125",
            "10: limits.overcurrent.delay_s: delay_s is from 0 to 86400",
        ],
    ),
    (
        {13: "limits: {full: {action: no}}"},
        ["13: stations[0].limits.full.action: expected cut, off or alarm, not the text 'no'"],
    ),
    (
        {17: "limits: {silence: null}"},
        [("17: PILE.limits.silence: this rule can't be switched off: give it longer limits")],
    ),
    (
        {17: "limits: [1]"},
        ["17: PILE.limits: expected rules with limits, not a list"],
    ),
    (
        {21: "- {id: n1-3, limits: {full: 3}}"},
        [
            (
                "21: PILE.outlets[2].limits.full: expected fields of the rule, or "
                "null to switch it off, not 3"
            )
        ],
    ),
    (
        {21: "- {id: n1-3, limits: {overcurrent_inverse: {delay_s: 1}}}"},
        ["21: PILE.outlets[2].limits.overcurrent_inverse.pickup_a: is missing"],
    ),
    (
        {10: "limits: {overcurrent_instant: {above_a: 8}}"},
        [
            (
                "10: limits.overcurrent_instant.above_a: overcurrent_instant at 8 A acts before "
                "overcurrent at 10 A ever can: raise the first or lower the second"
            )
        ],
    ),
    (
        {13: "limits: {overcurrent_instant: {above_a: 8}}", 17: "limits: {overcurrent: null}"},
        [],
    ),
    (
        {17: "limits: {overcurrent_inverse: {pickup_a: 20}}"},
        [
            (
                "17: PILE.limits.overcurrent_inverse.pickup_a: overcurrent_instant at "
                "16 A acts before overcurrent_inverse at 20 A ever can: raise the first "
                "or lower the "
                "second"
            )
        ],
    ),
    (
        {10: "limits: {unplugged: {below_w: 12}}", 17: "limits: {full: {float_w: 11}}"},
        [
            (
                "17: PILE.limits.full.float_w: unplugged below 12 W takes a battery "
                "that floats below 11 W for a pulled plug: lower below_w or raise float_w"
            )
        ],
    ),
    (
        {10: "limits: {overvoltage: {above_v: 90}}"},
        [
            (
                "10: limits.overvoltage.above_v: undervoltage below 100 V and overvoltage "
                "above 90 V "
                "leave no voltage that is right"
            )
        ],
    ),
    (
        {17: "limits: {silence: {delay_s: 1}}"},
        [
            (
                "17: PILE.limits.silence.delay_s: silence.delay_s is 1 s, below 2 "
                "polls of bus 'b1' (1000 ms each): raise it"
            ),
        ],
    ),
    (
        {4: "- {id: b2, kind: modbus-tcp, host: 192.0.2.1, poll_ms: 6000}"},
        ["8: devices[2].bus: silence.delay_s is 10 s, below 2 polls of bus 'b2': raise it"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=range(len(BAD)))
def test_what_is_refused_and_where(
    tmp_path: Path, changes: dict[int, str], expected: list[str]
) -> None:
    check_refused(tmp_path, changes, expected)
