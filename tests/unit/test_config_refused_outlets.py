"""Piles and outlets of a site file that are wrong: each error with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site_text import check_refused

BAD: list[tuple[dict[int, str], list[str]]] = [
    # stations, piles and the short form
    ({12: "- id: North"}, ["12: stations[0].id: expected an id"]),
    ({12: "- name: x"}, ["12: stations[0].id: is missing"]),
    ({15: "- ids: n1"}, ["15: ", "15: "]),
    ({14: "piles: []\nmore:"}, ["15: stations[0].more: unknown key; known: id, limits,"]),
    (
        {16: "module: {device: m2, channels: 1-9}", 21: ""},
        ["16: PILE.module.device: unknown device 'm2'; known: d1, m1, p1, w1"],
    ),
    (
        {16: "module: {device: m1, channels: 1-11}"},
        [
            (
                "16: PILE.module.channels: m1 has no channel 11: it has channels "
                "1 to 10 (profile pilegate-ref10)"
            )
        ],
    ),
    (
        {16: "module: {device: m1, channels: 9-1}", 21: ""},
        [("16: PILE.module.channels: expected channels such as 1-10 or 1-4,7, not the text '9-1'")],
    ),
    (
        {16: "module: {device: m1, channels: [1, 2]}", 21: ""},
        ["16: PILE.module.channels: expected a whole number or text, not a list"],
    ),
    (
        {16: "module: {device: m1, channels: 0}", 21: ""},
        ["16: PILE.module.channels: expected channels such as 1-10 or 1-4,7, not 0"],
    ),
    (
        {16: "module: {device: m1, channels: 1-9, outlets: x}", 21: ""},
        [("16: PILE.module.outlets: {channel} is missing: every outlet needs an id of its own")],
    ),
    (
        {16: "module: {device: m1, channels: 1-9, outlets: 'n-{chanel}'}", 21: ""},
        ["16: PILE.module.outlets: only {channel} and {pile} are filled in"],
    ),
    (
        {16: "module: {device: m1, channels: 1-9, outlets: 'n-{channel!r}{'}", 21: ""},
        ["16: PILE.module.outlets: only {channel} and {pile} are filled in"],
    ),
    (
        {16: "module: {device: m1, channels: 1-9, outlets: 'N {channel}'}", 21: ""},
        ["16: PILE.module.outlets: 'N 1' can't be an id"],
    ),
    (
        {16: "module: {device: p1, channels: 1}", 21: ""},
        [("16: PILE.module.device: p1 has no relay (profile pzem-004t-v3): name one")],
    ),
    (
        {16: 'module: {device: m1, channels: 1-9, outlets: "n{channel}\\n"}', 21: ""},
        ["16: PILE.module.outlets: 'n1\\n' can't be an id"],
    ),
    # outlets
    (
        {20: "- {id: c1, device: d1}"},
        ["20: PILE.outlets[1].id: outlet 'c1' stands already on line 19"],
    ),
    (
        {20: "- {id: n1-3, device: d1}"},
        ["20: PILE.outlets[1].id: outlet 'n1-3' stands already on line 16"],
    ),
    (
        {20: "- {id: c2, device: w1, channel: 1}"},
        [("20: PILE.outlets[1].channel: relay 1 of w1 has an outlet already on line 19")],
    ),
    (
        {20: "- {id: c2, meter: {device: p1}, relay: {device: w1, channel: 2}}"},
        [("20: PILE.outlets[1].meter.channel: meter 1 of p1 has an outlet already on line 19")],
    ),
    (
        {20: "- {id: c2, device: m1, channel: 4}"},
        [("20: PILE.outlets[1].channel: relay 4 of m1 has an outlet already on line 16")],
    ),
    (
        {19: "- {id: c1, meter: {device: p1}, relay: {device: w1, channel: 9}}"},
        [
            (
                "19: PILE.outlets[0].relay.channel: w1 has no channel 9: it has "
                "channels 1 to 8 (profile waveshare-relay-8)"
            )
        ],
    ),
    (
        {19: "- {id: c1, meter: {device: p1, channel: 2}, relay: {device: w1}}"},
        [
            (
                "19: PILE.outlets[0].meter.channel: p1 has no channel 2: it has one "
                "channel (profile pzem-004t-v3)"
            )
        ],
    ),
    (
        {19: "- {id: c1, meter: {device: w1}, relay: {device: p1}}"},
        [
            (
                "19: PILE.outlets[0].meter.device: w1 measures no current or power "
                "(profile waveshare-relay-8)"
            ),
            ("19: PILE.outlets[0].relay.device: p1 has no relay (profile pzem-004t-v3): name one"),
        ],
    ),
    (
        {19: "- {id: c1, meter: {device: p1}}"},
        [
            (
                "19: PILE.outlets[0]: relay is missing: an outlet that can't be "
                "switched can't be protected"
            )
        ],
    ),
    (
        {19: "- {id: c1, device: p1}"},
        [("19: PILE.outlets[0].device: p1 has no relay (profile pzem-004t-v3): name one")],
    ),
    (
        {19: "- {id: c1, device: w1}"},
        ["19: PILE.outlets[0]: channel is missing: w1 has 8"],
    ),
    (
        {19: "- {id: c1, device: d1, relay: {device: w1}}"},
        [("19: PILE.outlets[0].relay: write either a device for both, or a meter and a relay")],
    ),
    (
        {21: "- {id: n1-3, channel: 4}"},
        ["21: PILE.outlets[2].channel: needs device beside it"],
    ),
    (
        {21: "- {id: n1-13}"},
        [
            (
                "21: PILE.outlets[2]: relay is missing: write a device, or a relay "
                "with its meter, or the id of an outlet of the module (did you mean n1-3?)"
            )
        ],
    ),
    (
        {20: "- {id: n1-3}"},
        ["21: PILE.outlets[2].id: outlet 'n1-3' is refined already on line 20"],
    ),
    (
        {19: "- {id: c1, meter: {device: p2}, relay: {device: w2}}"},
        [
            ("19: PILE.outlets[0].meter.device: unknown device 'p2'; known: d1, m1, p1, w1"),
            ("19: PILE.outlets[0].relay.device: unknown device 'w2'; known: d1, m1, p1, w1"),
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=range(len(BAD)))
def test_what_is_refused_and_where(
    tmp_path: Path, changes: dict[int, str], expected: list[str]
) -> None:
    check_refused(tmp_path, changes, expected)
