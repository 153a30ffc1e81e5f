"""One end of a device: what outlets and circuits are measured and switched by."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.ids import DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel (from 1) of a device."""

    device: DeviceId
    channel: int
