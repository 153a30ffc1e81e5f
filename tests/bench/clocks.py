"""How long a program takes from having an answer's bytes to handing over an off frame.

What the simulator measures around it also holds two passages through the system and the waits
of both processes for a processor. Prints {"kind": "own", "ms": […]} once a second, from a
thread.
"""

from __future__ import annotations

import json
import threading
import time

FUNCTION = 7
"""Where the function code stands in a Modbus TCP frame."""
WRITE_COIL = 5
WRITE_COILS = 15
EVERY_S = 1.0
NS_PER_MS = 1_000_000


def is_off(frame: bytes) -> bool:
    """Say whether a Modbus TCP frame switches a coil off."""
    if frame[FUNCTION] == WRITE_COIL:
        return frame[FUNCTION + 3 : FUNCTION + 5] == b"\0\0"
    if frame[FUNCTION] != WRITE_COILS:
        return False
    count = int.from_bytes(frame[FUNCTION + 3 : FUNCTION + 5])
    return int.from_bytes(frame[FUNCTION + 6 :], "little") != (1 << count) - 1


class Clocks:
    """Remembers when each connection's last bytes were there, and how long an off frame took.

    The time ends when the frame is handed over, not when the system has taken it: a program that
    wakes its receiver may have to wait for it before it goes on, and the frame does not.
    """

    def __init__(self) -> None:
        self._received_ns: dict[object, int] = {}
        self._own_ms: list[float] = []

    def start(self) -> None:
        """Tell what was measured, from now on."""
        threading.Thread(target=self._tell, name="clocks", daemon=True).start()

    def received(self, connection: object) -> None:
        """Note that bytes are there."""
        self._received_ns[connection] = time.monotonic_ns()

    def sends(self, connection: object, frame: bytes) -> None:
        """Note that a frame is about to be handed over."""
        received_ns = self._received_ns.pop(connection, None)
        if received_ns is not None and is_off(frame):
            self._own_ms.append((time.monotonic_ns() - received_ns) / NS_PER_MS)

    def _tell(self) -> None:
        while True:
            time.sleep(EVERY_S)
            taken, self._own_ms = self._own_ms, []
            if taken:
                print(json.dumps({"kind": "own", "ms": taken}), flush=True)
