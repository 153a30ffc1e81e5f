"""Settings of the interpreter for a process whose event loop must answer within a millisecond."""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL_S = 0.0005
"""How long the loop's thread waits for another thread to give the interpreter back. Python's
own 5 ms were measured as the median time from a sample to its off frame, whenever the
journal's thread happened to be writing."""
YOUNG_OBJECTS = 500
"""Containers that are made before the youngest generation is searched for cycles: a search of
so few takes a fraction of a millisecond."""


def favour_the_loop() -> None:
    """Call once everything that lives as long as the process was built.

    What was built is not searched for cycles again: at 1,000 outlets a search of all
    generations takes longer than a cut-off may.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 50, 1_000)
