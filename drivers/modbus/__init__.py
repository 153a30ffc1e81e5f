"""Modbus TCP and RTU: outlets behind meters and relays. See README.md here."""
