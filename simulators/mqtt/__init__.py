"""Plugs that speak MQTT, of every family that the gateway knows, as the devices behave.

They share no code with the drivers: neither their codec nor their idea of a family.
"""
