"""Identifiers: what people write into the site file, and what the program makes itself."""

from __future__ import annotations

import re
import secrets
from typing import NewType
from uuid import UUID

OutletId = NewType("OutletId", str)
PileId = NewType("PileId", str)
StationId = NewType("StationId", str)
DeviceId = NewType("DeviceId", str)
BusId = NewType("BusId", str)
CircuitId = NewType("CircuitId", str)
InterlockId = NewType("InterlockId", str)

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Ids people write: safe in a URL, a topic, a file name and a shell."""

_NAME = re.compile(NAME_PATTERN)


def is_name(text: str) -> bool:
    """Say whether ``text`` can be an id that people write: of an outlet, a bus, a device."""
    return _NAME.fullmatch(text) is not None


def uuid7(utc_ms: int) -> UUID:
    """Make a UUID of version 7 (RFC 9562, 5.7): 48 bits of time, then random bits."""
    random = int.from_bytes(secrets.token_bytes(10), "big")
    value = (utc_ms & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= ((random >> 62) & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random & ((1 << 62) - 1)
    return UUID(int=value)
