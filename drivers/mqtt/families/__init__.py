"""The families, by the word that a profile has for them. A new one is one module and one entry."""

from __future__ import annotations

from collections.abc import Callable

from drivers.mqtt.families.esphome import EspHome
from drivers.mqtt.families.native import Native
from drivers.mqtt.families.shelly_gen1 import ShellyGen1
from drivers.mqtt.families.shelly_gen2 import ShellyGen2
from drivers.mqtt.families.tasmota import Tasmota
from drivers.mqtt.families.zigbee2mqtt import Zigbee2Mqtt
from drivers.mqtt.words import Codec
from gateway.config import Family, MqttProfile

CodecFactory = Callable[[str, MqttProfile, str], Codec]
"""Made of the device's topic, its profile, and the name answers to this driver are sent to."""

FAMILIES: dict[Family, CodecFactory] = {
    Family.NATIVE: Native,
    Family.TASMOTA: Tasmota,
    Family.SHELLY_GEN1: ShellyGen1,
    Family.SHELLY_GEN2: ShellyGen2,
    Family.ZIGBEE2MQTT: Zigbee2Mqtt,
    Family.ESPHOME: EspHome,
}
