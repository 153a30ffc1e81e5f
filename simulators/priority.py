"""The processor first, where that is allowed: hardware does not wait for one."""

from __future__ import annotations

import os


def take_priority() -> bool:
    """Put the calling thread before ordinary ones (SCHED_RR, sched(7)); say whether it worked.

    It is not allowed to most users. Then frames are answered, and stamped on receipt, late
    whenever the machine is busy: what is measured holds some of the simulator's own waiting.
    """
    if os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        return True
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    return True
