"""What a site file says of brokers: connections to one, plugs behind it, and the embedded one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gateway.config.findings import Findings
from gateway.config.mqtt_checks import FULL_TOPIC
from gateway.config.mqtt_profile import Family, MqttProfile, PowerOn
from gateway.config.settings_file import BrokerItem, is_loopback, split_listen
from gateway.config.settings_model import BrokerSettings, TlsFiles
from gateway.config.site_file import MqttItem, PlugItem
from gateway.config.site_model import MqttBus, MqttTls
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import BusId

TOKEN = re.compile(r"%[a-z]+%")
PLAIN_PORT = 1_883
TLS_PORT = 8_883
"""IANA: mqtt and secure-mqtt."""


def read_mqtt_bus(found: Findings, path: KeyPath, item: MqttItem, base: Path) -> MqttBus:
    """Resolve a connection to a broker; what is odd about it goes to ``found``."""
    password_file = None if item.password_file is None else base / item.password_file
    if password_file is not None:
        _warn_missing(found, (*path, "password_file"), password_file)
        if item.username is None:
            found.wrong((*path, "password_file"), "there is no password without a username: add it")
    elif item.username is not None:
        found.warn(
            (*path, "username"), f"no password_file for {item.username!r}: no password is sent"
        )
    if item.tls is None and not is_loopback(item.host):
        if item.username is None:
            found.warn(
                (*path, "host"),
                f"{item.host} is spoken to without tls and without a password: whoever is on "
                "that network can switch the outlets",
            )
        elif password_file is not None:
            found.warn((*path, "host"), f"the password goes to {item.host} in the clear: add tls")
    return MqttBus(
        id=BusId(item.id),
        client_id=item.client_id or _client_id(found, item),
        host=item.host,
        port=item.port or (PLAIN_PORT if item.tls is None else TLS_PORT),
        username=item.username,
        password_file=password_file,
        tls=_tls(found, path, item, base),
        keepalive_s=item.keepalive_s,
        poll_ms=item.poll_ms,
        promise_cut_off_ms=None if item.promise is None else item.promise.cut_off_ms,
    )


def _client_id(found: Findings, item: MqttItem) -> str:
    site = found.source.data.get("site")
    name = site.get("id", "site") if isinstance(site, dict) else "site"
    return f"pilegate-{name}-{item.id}"


def _tls(found: Findings, path: KeyPath, item: MqttItem, base: Path) -> MqttTls | None:
    if item.tls is None:
        return None
    files = {
        name: None if written is None else base / written
        for name, written in (("ca", item.tls.ca), ("cert", item.tls.cert), ("key", item.tls.key))
    }
    for name, file in files.items():
        if file is not None:
            _warn_missing(found, (*path, "tls", name), file)
    if (files["cert"] is None) != (files["key"] is None):
        found.wrong((*path, "tls"), "cert and key go together: give both or neither")
    return MqttTls(ca=files["ca"], cert=files["cert"], key=files["key"])


def check_power_on(found: Findings, path: KeyPath, item: PlugItem, profile: MqttProfile) -> PowerOn:
    """Refuse a plug of which nobody knows that it stays off when the mains come back."""
    power_on = profile.power_on if item.power_on is None else PowerOn(item.power_on)
    if power_on is PowerOn.UNKNOWN and profile.relay is not None:
        how = {
            Family.SHELLY_GEN1: "set default_state to off on its own page",
            Family.ESPHOME: "compile it with restore_mode: ALWAYS_OFF",
        }.get(profile.family, "see its manual")
        found.wrong(
            (*path, "profile"),
            f"{profile.profile} may come back on after a blackout, and can't be told over MQTT "
            f"not to: {how}, then write power_on: safe here",
        )
    return power_on


def check_topic(found: Findings, path: KeyPath, item: PlugItem, profile: MqttProfile) -> None:
    """Refuse a topic with a token that this plug does not fill in."""
    topic = item.topic
    if profile.family is Family.TASMOTA:
        topic = topic.replace(FULL_TOPIC, "", 1)
    token = TOKEN.search(topic)
    if token is None:
        return
    how = "write what the device has in its place"
    if profile.family is Family.TASMOTA:
        how += f"; only {FULL_TOPIC} stays, once"
    found.wrong((*path, "topic"), f"{token[0]} is a token of the device's own settings: {how}")


def read_broker(found: Findings, base: Path) -> BrokerSettings | None:
    """Read the section of the embedded broker, if there is one."""
    data = found.source.data.get("broker")
    if data is None:
        return None
    item: BrokerItem | None = found.read(BrokerItem, data, ("broker",))
    if item is None:
        return None
    host, port = split_listen(item.listen)
    if not is_loopback(host) and item.tls is None and item.users_file is None:
        found.wrong(
            ("broker", "listen"),
            f"{host} can be reached from other machines: add users_file or tls, "
            "or listen on 127.0.0.1",
        )
    users_file = None if item.users_file is None else base / item.users_file
    if users_file is not None:
        _warn_missing(found, ("broker", "users_file"), users_file)
    tls = None
    if item.tls is not None:
        tls = TlsFiles(cert=base / item.tls.cert, key=base / item.tls.key)
        _warn_missing(found, ("broker", "tls", "cert"), tls.cert)
        _warn_missing(found, ("broker", "tls", "key"), tls.key)
    return BrokerSettings(host=host, port=port, users_file=users_file, tls=tls)


def _warn_missing(found: Findings, path: KeyPath, file: Path) -> None:
    if not os.path.isfile(file):  # noqa: PTH113 - False for every error, Path.is_file raises some
        found.warn(path, f"no such file yet: {file}")
