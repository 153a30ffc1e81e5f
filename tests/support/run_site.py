"""A small site file: one serial line, one module, two outlets."""

from __future__ import annotations

from pathlib import Path

from tests.support.ports import free_port

SITE = """\
site: {{id: bad, name: Bad shed}}
state_dir: ./state
serve: {{listen: "127.0.0.1:{api}"}}
buses:
  - {{id: line1, kind: modbus-rtu, port: {port}, baud: 9600, poll_ms: 1000}}
devices:
  - {{id: m1, bus: line1, unit: 1, profile: pilegate-ref10}}
stations:
  - id: north
    name: North
    piles:
      - id: n1
        module: {{device: m1, channels: 1-2, outlets: "n1-{{channel}}"}}
"""


def write_site(folder: Path, *, port: str = "/dev/pilegate-none", api: int = 0) -> Path:
    path = folder / "site.yaml"
    path.write_text(SITE.format(port=port, api=api or free_port()))
    return path
