"""The other end of the wire: simulated modules, meters, relays, mains and chargers.

Programs of their own with a Modbus codec of their own: a simulator that shares code with
the drivers could not expose their bugs.
"""
