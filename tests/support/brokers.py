"""Brokers on loopback as processes of their own, and somebody who listens to everything."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.mosquitto import mosquitto
from tests.support.ports import free_port
from tests.support.sim_world import ROOT
from tests.support.waiting import PATIENCE_S, wait_until


class BrokerProcess:
    """``pilegate broker`` and what it logs."""

    def __init__(self, *arguments: str, notify: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": notify},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.decode())
                self._changed.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Give the first match among its lines; waits for it."""
        ends_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                found = re.search(pattern, "".join(self.lines))
                if found is not None:
                    return found
                assert self.process.poll() is None, f"it ended: {self.lines}"
                assert self._changed.wait(ends_s - time.monotonic()), f"not said: {self.lines}"

    def port(self) -> int:
        return int(self.wait_for(r"listening on \S+?:(\d+)")[1])

    def end(self) -> int:
        """Ask it to end; give its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self._reader.join(PATIENCE_S)
            assert self.process.stderr is not None
            self.process.stderr.close()


@contextmanager
def embedded(*arguments: str, notify: str = "") -> Iterator[BrokerProcess]:
    """Run the embedded broker on a port that the system chooses."""
    broker = BrokerProcess("broker", "--listen", "127.0.0.1:0", *arguments, notify=notify)
    try:
        yield broker
    finally:
        broker.end()


@contextmanager
def any_broker(kind: str, folder: Path) -> Iterator[int]:
    """Run a broker of either kind; gives its port."""
    if kind == "mosquitto":
        port = free_port()
        with mosquitto(folder, port):
            wait_until(lambda: _listens(port))
            yield port
    else:
        with embedded() as broker:
            yield broker.port()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


class Client:
    """A client that keeps everything it hears."""

    def __init__(
        self,
        port: int,
        *topics: str,
        name: str = "",
        password: str | None = None,
        clean: bool = True,
        qos: int = 1,
        ca: Path | None = None,
    ) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self.refused: Any = None
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
        if ca is not None:
            self._client.tls_set(ca_certs=str(ca))
        if password is not None:
            self._client.username_pw_set(name, password)

        def on_connect(client: paho.Client, _user: Any, _flags: Any, reason: Any, _: Any) -> None:
            if reason.is_failure:
                self.refused = reason
                self._subscribed.set()
            elif topics:
                client.subscribe([(topic, qos) for topic in topics])
            else:
                self._subscribed.set()

        self._client.on_connect = on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _user, message: self.heard.append(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "no answer from the broker"

    def say(self, topic: str, payload: str, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE_S)

    def texts(self, topic: str) -> list[str]:
        """Payloads that came on a topic."""
        return [message.payload.decode() for message in self.heard if message.topic == topic]

    def wait_for(self, topic: str, wanted: Callable[[str], object] = bool) -> str:
        """Wait for a payload on a topic; gives the first one that fits."""
        wait_until(lambda: any(wanted(text) for text in self.texts(topic)))
        return next(text for text in self.texts(topic) if wanted(text))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def client(port: int, *topics: str, **how: Any) -> Iterator[Client]:
    """Connect a client; it is disconnected in any case."""
    connected = Client(port, *topics, **how)
    try:
        yield connected
    finally:
        connected.close()


def raw_client(
    port: int, name: str, keepalive_s: int, will: str, *, clean: bool = True
) -> socket.socket:
    """Connect by hand, so that nothing is sent that was not meant: no ping, no DISCONNECT."""

    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    flags = b"\x2e" if clean else b"\x2c"
    body = text("MQTT") + b"\x04" + flags + struct.pack(">H", keepalive_s)
    body += text(name) + text(will) + text("dead")
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    made.sendall(bytes([0x10, len(body)]) + body)
    assert made.recv(4) == b"\x20\x02\x00\x00"
    return made
