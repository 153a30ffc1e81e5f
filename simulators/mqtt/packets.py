"""MQTT 3.1.1 as bytes: what a device's client needs of it. Pure.

Source: OASIS "MQTT Version 3.1.1", sections 2 and 3. QoS 0 and 1 only: no device asks for 2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.mqtt.message import Message

CONNACK = 2
PUBLISH = 3
PUBACK = 4
SUBACK = 9
PINGRESP = 13

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

MAX_PACKET_BYTES = 1_000_000
"""What a broker sends beyond this ends the connection; a plug has a few thousand bytes."""

REFUSALS = {
    1: "the broker does not speak MQTT 3.1.1",
    2: "the broker refuses this client id",
    3: "the broker is not available",
    4: "wrong user name or password",
    5: "not authorised",
}
"""Return codes of CONNACK (section 3.2.2.3)."""


class BadPacket(Exception):
    """What came is not MQTT."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: kind and flags of its first byte, and what follows its length."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A PUBLISH that arrived; ``packet_id`` is None at QoS 0."""

    message: Message
    packet_id: int | None


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and what is published when it is gone."""

    client_id: str
    keepalive_s: int
    will: Message | None = None
    username: str | None = None
    password: str | None = None


def connect(login: Login) -> bytes:
    """CONNECT with a clean session."""
    flags = 0x02
    payload = _text(login.client_id)
    if login.will is not None:
        flags |= 0x04 | login.will.qos << 3 | login.will.retain << 5
        payload += _text(login.will.topic) + _short(login.will.payload)
    if login.username is not None:
        flags |= 0x80
        payload += _text(login.username)
        if login.password is not None:
            flags |= 0x40
            payload += _text(login.password)
    head = _text("MQTT") + struct.pack(">BBH", 4, flags, login.keepalive_s)
    return _packet(0x10, head + payload)


def publish(message: Message, packet_id: int, *, duplicate: bool = False) -> bytes:
    """PUBLISH; the id is left out at QoS 0."""
    flags = duplicate << 3 | message.qos << 1 | int(message.retain)
    head = _text(message.topic)
    if message.qos:
        head += struct.pack(">H", packet_id)
    return _packet(0x30 | flags, head + message.payload)


def subscribe(packet_id: int, filters: Sequence[tuple[str, int]]) -> bytes:
    """SUBSCRIBE to ``(filter, qos)``."""
    body = struct.pack(">H", packet_id)
    for pattern, qos in filters:
        body += _text(pattern) + bytes([qos])
    return _packet(0x82, body)


def puback(packet_id: int) -> bytes:
    """PUBACK."""
    return _packet(0x40, struct.pack(">H", packet_id))


def take_packet(data: bytes | bytearray) -> tuple[Packet | None, int]:
    """Take one packet off the front; ``(None, 0)`` until it is whole. Raises BadPacket."""
    length = 0
    for index in range(1, 5):
        if index >= len(data):
            return None, 0
        length |= (data[index] & 0x7F) << 7 * (index - 1)
        if not data[index] & 0x80:
            break
    else:
        raise BadPacket("the length of a packet has no end")
    if length > MAX_PACKET_BYTES:
        raise BadPacket(f"a packet of {length} bytes")
    end = index + 1 + length
    if len(data) < end:
        return None, 0
    return Packet(data[0] >> 4, data[0] & 0x0F, bytes(data[index + 1 : end])), end


def connack_code(packet: Packet) -> int:
    """Return code of a CONNACK; 0: accepted. Raises BadPacket."""
    if packet.kind != CONNACK or len(packet.body) != 2:
        raise BadPacket("the broker's first packet is not a CONNACK")
    return packet.body[1]


def received(packet: Packet) -> Received:
    """Read a PUBLISH. Raises BadPacket."""
    body = packet.body
    if len(body) < 2:
        raise BadPacket("a PUBLISH without a topic")
    end = 2 + int.from_bytes(body[:2], "big")
    qos = packet.flags >> 1 & 3
    start = end + 2 if qos else end
    if len(body) < start or qos > 1:
        raise BadPacket("a PUBLISH that is cut short, or of a QoS that was not asked for")
    try:
        topic = body[2:end].decode()
    except UnicodeDecodeError as err:
        raise BadPacket("a topic that is not UTF-8") from err
    packet_id = int.from_bytes(body[end:start], "big") if qos else None
    return Received(Message(topic, body[start:], bool(packet.flags & 1), qos), packet_id)


def _packet(first: int, body: bytes) -> bytes:
    length = len(body)
    head = bytearray([first])
    while True:
        length, low = divmod(length, 128)
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def _short(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _text(value: str) -> bytes:
    return _short(value.encode())
