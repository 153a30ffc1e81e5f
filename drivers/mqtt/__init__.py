"""Plugs behind an MQTT broker: Tasmota, Shelly, Zigbee2MQTT, ESPHome, and the native format."""
