"""Bought hardware in one shed, on real processes: every style of relay, meters of every maker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_scenario import play

SITE = """\
site: {id: hardware, name: A shed of bought hardware}
state_dir: ./state
limits:
  overcurrent_instant: {above_a: 8.0}
  overcurrent: null
  overpower: null
  no_load: {below_w: 7, delay_s: 120}
  unplugged: {below_w: 1.0, delay_s: 60}
  wrong_appliance: null
buses:
  - {id: line1, kind: modbus-rtu, port: /tmp/pilegate-demo/line1, baud: 19200, poll_ms: 500}
  - {id: net1, kind: modbus-tcp, host: 127.0.0.1, port: 5020, poll_ms: 500}
devices:
  - {id: pzem, bus: line1, unit: 1, profile: pzem-016}
  - {id: sdm230, bus: line1, unit: 2, profile: sdm230}
  - {id: sdm630, bus: line1, unit: 3, profile: sdm630}
  - {id: ddsu, bus: net1, unit: 4, profile: ddsu666}
  - {id: coil, bus: net1, unit: 11, profile: relay-8-coil-0100}
  - {id: register, bus: line1, unit: 12, profile: relay-8-register}
  - {id: r421a, bus: net1, unit: 13, profile: r421a08}
  - {id: contactors, bus: line1, unit: 14, profile: waveshare-relay-d-contactor}
stations:
  - id: shed
    piles:
      - id: p
        outlets:
          - {id: coil-1, meter: {device: pzem}, relay: {device: coil, channel: 1}}
          - {id: register-1, meter: {device: sdm230}, relay: {device: register, channel: 1}}
          - {id: r421a-1, meter: {device: ddsu}, relay: {device: r421a, channel: 1}}
          - {id: c1, meter: {device: sdm630, channel: 1}, relay: {device: contactors, channel: 1}}
          - {id: c2, meter: {device: sdm630, channel: 2}, relay: {device: contactors, channel: 2}}
          - {id: c3, meter: {device: sdm630, channel: 3}, relay: {device: contactors, channel: 3}}
"""
OVERLOADED = ("coil-1", "register-1", "r421a-1", "c3")


def scenario() -> str:
    steps = [
        "{at_s: 0.2, fault: stuck_open, outlet: c2}",
        *(f"{{at_s: 0.2, plug: {outlet}, load: bike}}" for outlet in (*OVERLOADED, "c1")),
        *(
            f"{{at_s: 1, id: on-{outlet}, command: on, outlet: {outlet}, for_s: 60}}"
            for outlet in (*OVERLOADED, "c1", "c2")
        ),
        # its contact stays, but nothing is plugged in any more: no current tells
        "{at_s: 9, fault: welded, outlet: c1}",
        "{at_s: 9.5, unplug: c1}",
        "{at_s: 11, id: off-c1, command: off, outlet: c1}",
        *(
            f"{{at_s: 12, id: over-{outlet}, load_step: {outlet}, power_w: 3000}}"
            for outlet in OVERLOADED
        ),
    ]
    expect = [
        *(
            f"{{fact: outlet.on, outlet: {outlet}, after: on-{outlet}, within_s: 8}}"
            for outlet in (*OVERLOADED, "c1")
        ),
        *(
            f"{{fact: outlet.cut, outlet: {outlet}, reason: overcurrent_instant, "
            f"after: over-{outlet}, within_s: 8}}"
            for outlet in OVERLOADED
        ),
        *(
            f"{{fact: lease.ended, outlet: {outlet}, reason: overcurrent_instant, "
            f"after: over-{outlet}, within_s: 8}}"
            for outlet in OVERLOADED
        ),
        "{fact: outlet.cut, outlet: c2, reason: no_reaction, after: on-c2, within_s: 14}",
        "{fact: lease.ended, outlet: c2, reason: no_reaction, after: on-c2, within_s: 14}",
        "{fact: lease.ended, outlet: c1, reason: requested, after: off-c1, within_s: 6}",
        "{fact: outlet.cut, outlet: c1, reason: no_reaction, after: off-c1, within_s: 14}",
    ]
    head = (
        "scenario: switchgear\ntitle: Bought hardware\nsite: site.yaml\nseed: 3\nduration_s: 27\n"
        "loads:\n  bike: {kind: cc_cv, plateau_w: 180, capacity_wh: 500}\n"
    )
    lines = "\n".join(f"  - {step}" for step in steps)
    return f"{head}steps:\n{lines}\nexpect:\n" + "\n".join(f"  - {each}" for each in expect) + "\n"


@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_bought_hardware_is_switched_and_cut(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    file = tmp_path / "switchgear.yaml"
    file.write_text(scenario())
    play(file, tmp_path).check()
