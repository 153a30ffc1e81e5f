"""The embedded MQTT broker: a process of its own, for sites and demonstrations without one."""
