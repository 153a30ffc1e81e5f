"""The run's own directory, and the site file as it is for this one run."""

from __future__ import annotations

import random
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.config.yaml_source import read_yaml
from gateway.core.errors import CorrectFiles, FixInstallation, Problem
from gateway.link.address import SOCKET_NAME

PORTS = range(20_000, 32_000)
"""Below Linux's range for outgoing connections (32768-60999, ip(7)), so that none of those
takes a port between our choosing it and its server's binding it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run lives. All its files are in ``folder``."""

    folder: Path
    site_file: Path
    state_dir: Path
    api_host: str
    api_port: int
    broker_port: int | None = None
    """Where the brokers of all MQTT buses are to listen; None without such a bus."""
    is_broker_embedded: bool = False

    @property
    def socket(self) -> Path:
        return self.state_dir / SOCKET_NAME


def make_folder(parent: Path) -> Path:
    """Make a new directory of this run's own under ``parent``."""
    folder = parent.absolute() / secrets.token_hex(4)
    folder.mkdir(parents=True)
    return folder


def resolve(template: Path, folder: Path) -> Place:
    """Write the site file of this run: free ports, lines and state under ``folder``.

    Everything else is as in ``template``. Raises CorrectFiles when that is no site file.
    """
    site = read_yaml(template).data
    buses = site.get("buses")
    if not isinstance(buses, list) or not all(isinstance(bus, dict) for bus in buses):
        raise CorrectFiles([Problem(str(template), None, "buses", "a list of buses is needed")])
    ports = iter(_free_ports(len(buses) + 2))
    broker_port = next(ports) if any(bus.get("kind") == "mqtt" for bus in buses) else None
    for bus in buses:
        if bus.get("kind") in ("modbus-tcp", "modbus-rtu-tcp"):
            bus |= {"host": "127.0.0.1", "port": next(ports)}
        elif bus.get("kind") == "mqtt":
            bus |= {"host": "127.0.0.1", "port": broker_port}
        else:
            bus["port"] = str(folder / str(bus.get("id", "line")))
    state_dir = folder / "state"
    api_port = next(ports)
    site["state_dir"] = str(state_dir)
    site["serve"] = {"listen": f"127.0.0.1:{api_port}"}
    if "broker" in site:
        site["broker"] = {"listen": f"127.0.0.1:{broker_port}"}
    if isinstance(site.get("guard"), dict):
        site["guard"].pop("socket_group", None)  # this machine need not have the group
    profiles = site.get("profiles")
    if isinstance(profiles, list):
        site["profiles"] = [str((template.parent / str(entry)).resolve()) for entry in profiles]
    state_dir.mkdir()
    site_file = folder / "site.yaml"
    site_file.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
    return Place(
        folder,
        site_file,
        state_dir,
        "127.0.0.1",
        api_port,
        broker_port=broker_port,
        is_broker_embedded="broker" in site and broker_port is not None,
    )


def _free_ports(count: int) -> list[int]:
    """Find free TCP ports on loopback; all are held until the last one is found."""
    held: list[socket.socket] = []
    try:
        for port in random.sample(PORTS, len(PORTS)):
            candidate = socket.socket()
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                candidate.close()
                continue
            held.append(candidate)
            if len(held) == count:
                return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    raise FixInstallation("no free TCP ports on 127.0.0.1: end some of the programs that listen")
