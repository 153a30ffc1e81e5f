"""The embedded broker as a process: its promises, its refusals, its bounds."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.brokers import (
    BrokerProcess,
    any_broker,
    client,
    embedded,
    raw_client,
)
from tests.support.sim_world import ROOT
from tests.support.waiting import PATIENCE_S, wait_until


def pilegate(*arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        input=told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_ready_to_systemd_delivers_and_ends_in_order(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        with embedded(notify=str(address)) as broker:
            port = broker.port()
            assert systemd.recv(100) == b"READY=1"
            with client(port, "a/+") as listener, client(port) as speaker:
                speaker.say("a/b", "hello")
                speaker.say("a/b/c", "not for this one")
                listener.wait_for("a/b", lambda text: text == "hello")
                speaker.say("a/last", "x", qos=0)
                listener.wait_for("a/last")
                assert [message.topic for message in listener.heard] == ["a/b", "a/last"]
                assert [message.qos for message in listener.heard] == [1, 0], "never raised"
            assert broker.end() == 0
    assert not [line for line in broker.lines if "level=error" in line or "Traceback" in line]


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        result = pilegate("broker", "--listen", listen)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert listen in line
    assert "address already in use" in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--listen", "0.0.0.0:0"), "0.0.0.0 can be reached from other machines"),
        (("--listen", "nonsense"), "--listen is like 127.0.0.1:1883"),
        (("--listen", "127.0.0.1:0", "--users-file", "/nowhere/users"), "can't be read"),
    ],
)
def test_what_it_refuses_to_start_with(arguments: tuple[str, ...], told: str) -> None:
    result = pilegate("broker", *arguments)
    assert result.returncode == 2
    assert told in result.stderr.splitlines()[-1]


def test_only_users_of_the_file_get_in(tmp_path: Path) -> None:
    users = tmp_path / "users"
    made = pilegate("broker", "user", "add", "guard", "--generate", "--users-file", str(users))
    password = made.stdout.strip()
    assert len(password) == 24
    with embedded("--users-file", str(users)) as broker:
        port = broker.port()
        with client(port, "a", name="guard", password=password) as guard:
            with client(port, name="guard", password="wrong") as stranger:
                assert str(stranger.refused) == "Not authorized"
            guard.say("a", "still here")
            guard.wait_for("a")
            add = ("broker", "user", "add", "plug", "--users-file", str(users))
            assert pilegate(*add, told="plug's own\n").returncode == 0
            with client(port, name="plug", password="plug's own") as plug:
                assert plug.refused is None, "a new user needs no restart"
        broker.wait_for("a client was refused")
        assert password not in "".join(broker.lines)


def test_who_falls_silent_is_declared_dead_and_is_no_longer_once_it_is_back() -> None:
    with embedded() as broker, client(broker.port(), "will/#") as listener:
        port = broker.port()
        half_open = raw_client(port, "plug", 1, "will/plug")
        listener.wait_for("will/plug", lambda text: text == "dead")
        assert half_open.recv(10) == b""
        half_open.close()

        listener.heard.clear()
        first = raw_client(port, "twice", 600, "will/twice")
        second = raw_client(port, "twice", 600, "will/twice")
        assert first.recv(10) == b"", "the one that was there before is let go"
        listener.wait_for("will/twice")
        second.sendall(b"\x30\x0a\x00\x06will/zok")
        listener.wait_for("will/z")
        assert len(listener.texts("will/twice")) == 1, "nobody calls the second one dead"
        first.close()
        second.close()


def test_retained_messages_are_for_those_who_subscribe() -> None:
    with embedded() as broker:
        port = broker.port()
        with client(port, "live") as listener:
            listener.say("old/state", "ON", retain=True)
            with client(port, "other") as stranger:
                listener.say("other", "now")
                stranger.wait_for("other")
                assert [message.topic for message in stranger.heard] == ["other"]
            with client(port, "old/#") as late:
                late.wait_for("old/state")
                assert late.heard[0].retain
            listener.say("old/state", "", retain=True)
            with client(port, "old/#") as later:
                later.say("old/x", "now")
                later.wait_for("old/x")
                assert [message.topic for message in later.heard] == ["old/x"]


def test_what_waited_for_a_session_is_delivered_as_what_it_was() -> None:
    with embedded() as broker:
        port = broker.port()
        with raw_client(port, "kept", 600, "will", clean=False) as leaving:
            leaving.sendall(b"\x82\x06\x00\x01\x00\x01a\x01")
            assert leaving.recv(5) == b"\x90\x03\x00\x01\x01"
            leaving.sendall(b"\xe0\x00")
            assert leaving.recv(5) == b"", "the broker knows that it has left"
        with client(port) as speaker:
            speaker.say("a", "meanwhile")
            with client(port, "a", name="kept", clean=False) as back:
                back.wait_for("a")
                speaker.say("a", "now")
                back.wait_for("a", lambda text: text == "now")
                assert back.texts("a") == ["meanwhile", "now"]
                assert not any(message.retain for message in back.heard)


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\x7f\x00\x01a" + b"x" * 1_000,
        b"\x30\xff\xff\xff\xff\xff",
        b"\xf0\x00",
        b"\x82\x02\x00\x01",
        b"\x30\x03\x00\x01#",
    ],
    ids=["huge", "endless length", "reserved", "empty subscription", "wildcard"],
)
def test_a_client_that_breaks_the_rules_disturbs_nobody(data: bytes) -> None:
    with embedded() as broker, client(broker.port(), "a") as listener:
        bad = raw_client(broker.port(), "bad", 1, "bad/will")
        with suppress(ConnectionError):  # it may be taken for dead already
            bad.sendall(data)
        listener.say("a", "unharmed")
        listener.wait_for("a")
        with suppress(ConnectionResetError):  # of what it sent to one that was gone
            while bad.recv(1_000):
                pass  # it is let go in the end
        bad.close()
        assert broker.process.poll() is None


def test_a_client_that_reads_nothing_holds_up_nobody() -> None:
    with embedded() as broker, client(broker.port(), "go/on") as listener:
        port = broker.port()
        deaf = raw_client(port, "deaf", 600, "deaf/will")
        deaf.sendall(b"\x82\x0a\x00\x01\x00\x05flood\x00")
        for _ in range(300):
            listener.say("flood", "x" * 50_000, qos=0)
        listener.say("go/on", "now")
        listener.wait_for("go/on")
        broker.wait_for("reads nothing: let go")
        deaf.close()


def test_garbage_at_the_port_is_no_crash() -> None:
    with embedded() as broker, client(broker.port(), "a") as listener:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 50, b"\x10\x05\x00\x99MQ"):
            with socket.create_connection(("127.0.0.1", broker.port())) as stranger:
                stranger.sendall(data)
        listener.say("a", "unharmed")
        listener.wait_for("a")
        assert broker.end() == 0
    assert not [line for line in broker.lines if "level=error" in line or "Traceback" in line]


def test_it_runs_as_the_site_file_says(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    text = (ROOT / "config" / "sites" / "demo-tcp.yaml").read_text()
    site.write_text(text)
    result = pilegate("--site", str(site), "broker")
    assert result.returncode == 2
    assert "has no broker: section" in result.stderr
    site.write_text(f"{text}\nbroker: {{listen: 127.0.0.1:0}}\n")
    broker = BrokerProcess("--site", str(site), "broker")
    try:
        with client(broker.port(), "a") as listener:
            listener.say("a", "here")
            listener.wait_for("a")
    finally:
        assert broker.end() == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_with_tls_only_those_get_in_who_speak_it(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made, *files], check=True, capture_output=True, timeout=60)
    site = tmp_path / "site.yaml"
    text = (ROOT / "config" / "sites" / "demo-tcp.yaml").read_text()
    secured = f"{{listen: 127.0.0.1:0, tls: {{cert: {cert}, key: {key}}}}}"
    site.write_text(f"{text}\nbroker: {secured}\n")
    broker = BrokerProcess("--site", str(site), "broker")
    try:
        with client(broker.port(), "a", ca=cert) as listener:
            with socket.create_connection(("127.0.0.1", broker.port())) as plain:
                plain.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02zz")
                plain.settimeout(PATIENCE_S)
                with suppress(ConnectionError):
                    assert not plain.recv(100).startswith(b"\x20")  # at most an alert of TLS
            listener.say("a", "here")
            listener.wait_for("a")
    finally:
        assert broker.end() == 0


@pytest.mark.parametrize(
    "kind",
    [
        "embedded",
        pytest.param("mosquitto", marks=pytest.mark.mosquitto),
    ],
)
def test_an_on_is_not_kept_for_a_plug_that_is_away(kind: str, tmp_path: Path) -> None:
    """As the guard sends them: ON with QoS 0, OFF with QoS 1, to a plug that keeps its session."""
    topic = "cmnd/p/POWER1"
    with any_broker(kind, tmp_path) as port:
        with client(port, "cmnd/#", name="plug", clean=False):
            pass
        with client(port) as guard:
            guard.say(topic, "ON", qos=0)
            guard.say(topic, "OFF", qos=1)
        with client(port, "cmnd/#", name="plug", clean=False) as plug:
            plug.wait_for(topic, lambda word: word == "OFF")
            assert plug.texts(topic) == ["OFF"]


def test_two_hundred_clients_at_once() -> None:
    with embedded() as broker, client(broker.port(), "will/#") as listener:
        crowd = [raw_client(broker.port(), f"c{n}", 600, f"will/{n}") for n in range(200)]
        for one in crowd:
            one.close()
        wait_until(lambda: len({message.topic for message in listener.heard}) == 200)
