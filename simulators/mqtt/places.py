"""Site and profile files as plugs need them: brokers, topics, families."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from gateway.core.errors import CorrectFiles, Problem
from simulators.yaml_lines import read_yaml

PLAIN_PORT = 1883
TLS_PORT = 8883

FAMILIES = ("native", "tasmota", "shelly-gen1", "shelly-gen2", "zigbee2mqtt", "esphome")


@dataclass(frozen=True, slots=True)
class MqttPlace:
    """A broker that plugs connect to."""

    id: str
    host: str
    port: int
    username: str | None = None
    password_file: FilePath | None = None
    ca: FilePath | None = None
    cert: FilePath | None = None
    key: FilePath | None = None
    is_tls: bool = False

    def password(self) -> str | None:
        """Read the first line of the password's file. Raises CorrectFiles."""
        if self.password_file is None:
            return None
        try:
            lines = self.password_file.read_text().splitlines()
        except OSError as err:
            problem = Problem(str(self.password_file), None, "", f"can't be read: {err.strerror}")
            raise CorrectFiles([problem]) from err
        return lines[0].strip() if lines else ""

    def tls(self) -> ssl.SSLContext | None:
        """Make the TLS settings; None for a plain connection. Raises CorrectFiles."""
        if not self.is_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except OSError as err:
            problem = Problem(str(self.ca or self.cert), None, "", f"can't be used: {err}")
            raise CorrectFiles([problem]) from err
        return context


@dataclass(frozen=True, slots=True)
class PlugName:
    """What a plug calls a quantity, and what its numbers are multiplied by to get the unit."""

    name: str
    scale: float = 1.0

    def of(self, channel: int) -> str:
        """Name of channel ``channel``, from 1."""
        return self.name.replace("{channel}", str(channel)).replace("{index}", str(channel - 1))


@dataclass(frozen=True, slots=True)
class PlugProfile:
    """What a plug of this model is. ``names``: by quantity, for families that leave it open."""

    name: str
    family: str
    channels: int = 1
    report_s: float | None = None
    base_topic: str = ""
    can_be_asked: bool = False
    timer_name: str = ""
    power_on_name: str = ""
    names: dict[str, PlugName] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlugPlace:
    """A plug on a broker."""

    id: str
    bus: str
    topic: str
    profile: PlugProfile


def mqtt_place(bus: dict[str, Any], folder: FilePath) -> MqttPlace:
    """Read one bus of a site file; files are relative to ``folder``."""
    tls = bus.get("tls")
    files = {key: folder / str(value) for key, value in (tls or {}).items() if value}
    password_file = bus.get("password_file")
    default_port = PLAIN_PORT if tls is None else TLS_PORT
    return MqttPlace(
        id=bus["id"],
        host=str(bus.get("host") or "127.0.0.1"),
        port=int(bus.get("port") or default_port),
        username=bus.get("username"),
        password_file=None if password_file is None else folder / str(password_file),
        ca=files.get("ca"),
        cert=files.get("cert"),
        key=files.get("key"),
        is_tls=tls is not None,
    )


def is_plug_profile(path: FilePath) -> bool:
    """Say whether a profile file describes something that speaks MQTT. Raises CorrectFiles."""
    return read_yaml(path).data.get("protocol") == "mqtt"


def read_plug_profile(path: FilePath) -> PlugProfile:
    """Read one profile file. Raises CorrectFiles."""
    document = read_yaml(path)
    data = document.data
    family = data.get("family")
    if family not in FAMILIES:
        problem = document.problem(("family",), f"is one of {', '.join(FAMILIES)}")
        raise CorrectFiles([problem])
    channels = data.get("channels", 1)
    if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= 32:
        raise CorrectFiles([document.problem(("channels",), "is a number from 1 to 32")])
    report_s = data.get("report_s")
    if isinstance(report_s, bool) or not isinstance(report_s, int | float | None):
        raise CorrectFiles([document.problem(("report_s",), "is a number of seconds")])
    return PlugProfile(
        name=str(data.get("profile", path.stem)),
        family=family,
        channels=channels,
        report_s=None if report_s is None else float(report_s),
        can_be_asked=data.get("ask_ms") is not None,
        base_topic=str(data.get("base_topic") or ""),
        timer_name=str(data.get("timer_name") or ""),
        power_on_name=str(data.get("power_on_name") or ""),
        names=_names(data.get("values")),
    )


def _names(values: Any) -> dict[str, PlugName]:
    """Take what quantities are called: ``power_w: {name: plug_power, scale: 1000}``."""
    names: dict[str, PlugName] = {}
    for quantity, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            scale = value.get("scale", 1.0)
            is_number = isinstance(scale, int | float) and scale
            names[quantity] = PlugName(value["name"], float(scale) if is_number else 1.0)
    return names
