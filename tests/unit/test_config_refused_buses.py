"""Buses and devices of a site file that are wrong: each error with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site_text import check_refused

UNKNOWN_PROFILE = (
    "6: devices[0].profile: unknown profile 'pilegate-ref1'; did you mean pilegate-ref10?"
)

BAD: list[tuple[dict[int, str], list[str]]] = [
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
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=range(len(BAD)))
def test_what_is_refused_and_where(
    tmp_path: Path, changes: dict[int, str], expected: list[str]
) -> None:
    check_refused(tmp_path, changes, expected)
