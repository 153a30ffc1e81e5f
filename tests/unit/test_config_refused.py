"""Site files that are wrong: every error with file, line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.explain import MOST_TOLD
from tests.support.site_text import load, refused, with_lines

UNKNOWN_PROFILE = (
    "6: devices[0].profile: unknown profile 'pilegate-ref1'; did you mean pilegate-ref10?"
)

PILE = "stations[0].piles[0]"

BAD: list[tuple[dict[int, str], list[str]]] = [
    # keys and types
    ({1: "site: {id: s, nme: x}"}, ["1: site.nme: unknown key; did you mean name?"]),
    ({1: "site: {}"}, ["1: site.id: is missing"]),
    ({1: "site: s"}, ["1: site: expected keys with values, not the text 's'"]),
    ({1: "sit: {id: s}"}, ["1: site: is missing", "1: sit: unknown key; did you mean site?"]),
    (
        {1: "site: {id: S 1}"},
        [
            (
                "1: site.id: expected an id (small letters, digits, '.', '_' and '-', at most 63, "
                "beginning with a letter or digit), not the text 'S 1'"
            )
        ],
    ),
    ({1: "site: {id: 5}"}, ["1: site.id: expected text, not 5"]),
    ({1: "site: {id: s, name: ''}"}, ["1: site.name: expected text that is not empty, not"]),
    (
        {1: 'site: {id: s, name: "a\\nb"}'},
        ["1: site.name: expected one line of text without control characters, not the text"],
    ),
    (
        {1: 'site: {id: s, name: "a\\e[2Jb"}'},
        ["1: site.name: expected one line of text without control characters, not the text"],
    ),
    (
        {12: '- id: north\n  name: "\\u202eevil"'},
        ["13: stations[0].name: expected one line of text without control characters, not"],
    ),
    ({1: 'site: {id: s, name: "北门 é ‌"}'}, []),
    ({1: 'site: {id: "s\\n"}'}, ["1: site.id: expected an id"]),
    ({1: "site: {id: s}\nstate_dir: 7"}, ["2: state_dir: expected text, not 7"]),
    (
        {1: 'site: {id: s}\nstate_dir: "a\\0b"'},
        ["2: state_dir: a path holds no control characters"],
    ),
    (
        {1: "site: {id: s}\npromise: {cut_off_ms: 10}"},
        ["2: promise.cut_off_ms: expected a number from 100 up, not 10"],
    ),
    (
        {1: "site: {id: s}\nguard: {journal_max_mb: true}"},
        ["2: guard.journal_max_mb: expected a whole number, not true"],
    ),
    ({1: "site: {id: s}\nprofiles: nowhere"}, ["2: profiles: expected a list, not the text"]),
    ({1: "site: {id: s}\nprofiles: [nowhere]"}, ["2: profiles[0]: no such folder: "]),
    ({1: f"site: {{id: s}}\nprofiles: [{'x' * 400}]"}, ["2: profiles[0]: no such folder: "]),
    # serve
    (
        {1: 'site: {id: s}\nserve: {listen: "0.0.0.0:80"}'},
        [
            (
                "2: serve.listen: 0.0.0.0 can be reached from other machines: add tls "
                "with cert and "
                "key, or listen on 127.0.0.1"
            )
        ],
    ),
    ({1: 'site: {id: s}\nserve: {listen: ":80"}'}, ["2: serve.listen: expected host:port such"]),
    ({1: "site: {id: s}\nserve: {listen: 8480}"}, ["2: serve.listen: expected text, not 8480"]),
    (
        {1: 'site: {id: s}\nserve: {listen: "localhost:65536"}'},
        ["2: serve.listen: expected host:port such as 127.0.0.1:8480, not 'localhost:65536'"],
    ),
    (
        {1: "site: {id: s}\nserve: {database: mysql://x}"},
        ["2: serve.database: expected a URL that begins with sqlite:/// or postgresql://"],
    ),
    ({1: "site: {id: s}\nserve: {tls: {cert: c}}"}, ["2: serve.tls.key: is missing"]),
    # buses
    (
        {3: "- {id: b1, kind: modbus-rtu, port: /dev/ttyUSB0, baud: 9601}"},
        ["3: buses[0].baud: expected 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200 or"],
    ),
    (
        {3: "- {id: b1, kind: modbus-rtu, port: /dev/ttyUSB0, parity: even}"},
        ["3: buses[0].parity: expected N, E or O, not the text 'even'"],
    ),
    (
        {3: "- {id: b1, kind: modbus-rtu, port: ttyUSB0}"},
        ["3: buses[0].port: expected an absolute path such as /dev/serial/by-id/… or"],
    ),
    (
        {3: "- {id: b1, kind: modbus-rtu, host: x}"},
        ["3: buses[0].port: is missing", "3: buses[0].host: unknown key; known: baud, id, kind,"],
    ),
    (
        {3: "- {id: b1, kind: modbus, port: /dev/ttyUSB0}"},
        [
            (
                "3: buses[0].kind: expected modbus-rtu, modbus-rtu-tcp, modbus-tcp, mqtt, not the"
                " text 'modbus'"
            )
        ],
    ),
    (
        {3: "- {id: b1, port: /dev/ttyUSB0}"},
        ["3: buses[0]: kind is missing: it says which kind it is"],
    ),
    (
        {4: "- {id: b2, kind: modbus-tcp, host: 192.0.2.1, poll_ms: 10}"},
        ["4: buses[1].poll_ms: expected a number from 50 up, not 10"],
    ),
    (
        {4: "- {id: b2, kind: modbus-tcp, host: 192.0.2.1, port: 0}"},
        ["4: buses[1].port: expected a number from 1 up, not 0"],
    ),
    (
        {4: "- {id: b2, kind: modbus-tcp, host: http://x}"},
        ["4: buses[1].host: expected a host name or an address such as 192.0.2.10 or"],
    ),
    (
        {4: "- {id: b2, kind: modbus-rtu, port: /dev/../dev/ttyUSB0}"},
        ["4: buses[1].port: /dev/ttyUSB0 is a bus already on line 3: two masters clash"],
    ),
    (
        {
            3: "- {id: b1, kind: modbus-tcp, host: 127.0.0.1}",
            4: "- {id: b2, kind: modbus-tcp, host: Localhost, port: 502}",
        },
        ["4: buses[1].port: 127.0.0.1:502 is a bus already on line 3: two masters clash"],
    ),
    (
        {4: "- {id: b1, kind: modbus-tcp, host: 192.0.2.1}"},
        [
            "4: buses[1].id: bus 'b1' stands already on line 3",
            "8: devices[2].bus: unknown bus 'b2'; known: b1",
            "9: devices[3].bus: unknown bus 'b2'; known: b1",
        ],
    ),
    ({4: "- 5"}, ["4: buses[1]: expected keys with values, not 5", "8: ", "9: "]),
    (
        {4: "- {id: [1], kind: modbus-tcp, host: 192.0.2.1}"},
        ["4: buses[1].id: expected text, not a list", "8: ", "9: "],
    ),
    # devices
    (
        {6: "- {id: m1, bus: b3, unit: 1, profile: pilegate-ref10}"},
        ["6: devices[0].bus: unknown bus 'b3'; known: b1, b2"],
    ),
    ({6: "- {id: m1, bus: b1, unit: 1, profile: pilegate-ref1}"}, [UNKNOWN_PROFILE]),
    (
        {6: "- {id: m1, bus: b1, unit: 0, profile: pilegate-ref10}"},
        [
            (
                "6: devices[0].unit: unit 0 means every device of a line, and none answers:"
                " set the device to one of 1 to 247"
            )
        ],
    ),
    (
        {6: "- {id: m1, bus: b1, unit: 248, profile: pilegate-ref10}"},
        ["6: devices[0].unit: unit 248 is reserved: set the device to one of 1 to 247"],
    ),
    (
        {8: "- {id: w1, bus: b2, unit: 250, profile: waveshare-relay-8}"},
        ["8: devices[2].unit: unit 250 is reserved: 1 to 247, 0 or 255"],
    ),
    (
        {8: "- {id: w1, bus: b2, unit: 0, profile: waveshare-relay-8}"},
        [
            (
                "8: devices[2].unit: unit 0 is a device with a connection of its own, and bus 'b2'"
                " has 2 devices: behind a gateway they have 1 to 247, and what is sent to unit 0"
                " all of them obey"
            )
        ],
    ),
    (
        {3: "- {id: b1, kind: modbus-rtu-tcp, host: 192.0.2.1, port: 5020}"},
        ["4: buses[1].port: 192.0.2.1:5020 is a bus already on line 3: two masters clash"],
    ),
    ({3: "- {id: b1, kind: modbus-rtu-tcp, host: 192.0.2.2}"}, ["3: buses[0].port: is missing"]),
    (
        {7: "- {id: p1, bus: b1, unit: 1, profile: pzem-004t-v3}"},
        ["7: devices[1].unit: unit 1 on bus 'b1' is taken already on line 6"],
    ),
    (
        {7: "- {id: m1, bus: b1, unit: 2, profile: pzem-004t-v3}"},
        [
            "7: devices[1].id: device 'm1' stands already on line 6",
            "19: PILE.outlets[0].meter.device: unknown device 'p1'; known: d1",
        ],
    ),
    (
        {3: "- {id: b1, kind: modbus-rtu, port: /dev/ttyUSB0, poll_ms: 4000}"},
        [
            (
                "6: devices[0].profile: the watchdog of pilegate-ref10 is 10000 ms, shorter than "
                "3 polls of bus 'b1' (4000 ms each): lower poll_ms of the bus or raise the watchdog"
            )
        ],
    ),
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
    # limits
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
    text = with_lines(changes)
    if not expected:
        load(tmp_path, text)
        return
    problems = refused(tmp_path, text)
    assert len(problems) == len(expected), problems
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(f"site.yaml:{start}".replace("PILE", PILE))
        assert "\n" not in problem


def test_a_file_full_of_one_mistake_is_told_within_bounds(tmp_path: Path) -> None:
    wrong = "".join(f"k{number}: 1\n" for number in range(1_000))
    problems = refused(tmp_path, f"{with_lines({})}{wrong}")
    assert len(problems) == MOST_TOLD + 1
    assert f"site.yaml:1: and {1_000 - MOST_TOLD} more problems here: correct these" in problems[0]


def test_a_folder_of_profiles_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    problems = refused(tmp_path, with_lines({1: "site: {id: s}\nprofiles: [mine]"}))
    assert problems == [
        (
            f"site.yaml:2: profiles[0]: {tmp_path}/mine may not be read by this user: "
            "check owner and mode"
        )
    ]


def test_all_errors_of_all_files_come_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.yaml").write_text("profile: mine\nname: x\nchannels: x\n", encoding="utf-8")
    problems = refused(
        tmp_path,
        with_lines(
            {
                1: "site: {id: S}\nprofiles: [profiles]\nguard: {x: 1}",
                3: "- {id: b1, kind: modbus-rtu, port: x, baud: 1}",
                7: "- {id: p1, bus: b1, unit: 300, profile: pzem-004t-v3}",
                8: "- {id: w1, bus: b2, unit: 1, profile: mine}",
                9: "- {id: d1, bus: b9, unit: 2, profile: dds238-2-zn-sr}",
                10: "limits: {overpower: {above_w: -1}}",
                13: "limits: {welded: {action: off}}",
                20: "- {id: c1, device: d1}",
            }
        ),
    )
    assert [":".join(problem.split(":")[:3]).replace(" ", "") for problem in problems] == [
        "site.yaml:1:site.id",
        "site.yaml:3:guard.x",
        "site.yaml:5:buses[0].port",
        "site.yaml:5:buses[0].baud",
        "site.yaml:9:devices[1].unit",
        "site.yaml:11:devices[3].bus",
        "site.yaml:12:limits.overpower.above_w",
        "site.yaml:15:stations[0].limits.welded.action",
        "site.yaml:22:stations[0].piles[0].outlets[1].id",
        "profiles/mine.yaml:1:source",
        "profiles/mine.yaml:3:channels",
    ]
