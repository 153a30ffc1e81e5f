"""Configuration: site file and profiles, validated into frozen objects.

Every error names file, line and key, and all of them are reported at once.
"""

from gateway.config.profile import Profile, Quantity, Space, Value, ValueType, WordOrder
from gateway.config.profile_files import load_profile
from gateway.config.site import (
    Bus,
    Channel,
    Device,
    GuardSettings,
    Outlet,
    Pile,
    RtuBus,
    ServeSettings,
    Site,
    Station,
    TcpBus,
    TlsFiles,
    load_site,
)

__all__ = [
    "Bus",
    "Channel",
    "Device",
    "GuardSettings",
    "Outlet",
    "Pile",
    "Profile",
    "Quantity",
    "RtuBus",
    "ServeSettings",
    "Site",
    "Space",
    "Station",
    "TcpBus",
    "TlsFiles",
    "Value",
    "ValueType",
    "WordOrder",
    "load_profile",
    "load_site",
]
