"""Plays a scenario on real processes: simulators, guard and serve, and judges what happened."""
