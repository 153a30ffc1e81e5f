"""Configuration: site file and profiles, validated into frozen objects.

Every error names file, line and key, and all of them are reported at once.
"""

from gateway.config.circuit_model import Amount, Circuit, Contactor, FeedPoint, Policy, Restart
from gateway.config.interlock_model import InputPoint, Interlock
from gateway.config.mqtt_profile import Family, MqttProfile, PlugValue, PowerOn
from gateway.config.profile import Profile, Quantity, Space, Value, ValueType, WordOrder
from gateway.config.profile_files import load_plug_profile, load_profile
from gateway.config.site import (
    AnyBus,
    BrokerSettings,
    Bus,
    Channel,
    ConverterBus,
    Device,
    FlightSettings,
    GuardSettings,
    MqttBus,
    MqttDevice,
    MqttTls,
    Outlet,
    Pile,
    Point,
    RtuBus,
    ServeSettings,
    Site,
    Station,
    TcpBus,
    TlsFiles,
    load_site,
)

__all__ = [
    "Amount",
    "AnyBus",
    "BrokerSettings",
    "Bus",
    "Channel",
    "Circuit",
    "Contactor",
    "ConverterBus",
    "Device",
    "Family",
    "FeedPoint",
    "FlightSettings",
    "GuardSettings",
    "InputPoint",
    "Interlock",
    "MqttBus",
    "MqttDevice",
    "MqttProfile",
    "MqttTls",
    "Outlet",
    "Pile",
    "PlugValue",
    "Point",
    "Policy",
    "PowerOn",
    "Profile",
    "Quantity",
    "Restart",
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
    "load_plug_profile",
    "load_profile",
    "load_site",
]
