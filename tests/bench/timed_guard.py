"""A program: ``pilegate`` with two clocks in its TCP links.

They time the guard's own part of a cut-off: from having an answer's bytes to handing the off
frame to the system. What the simulator measures around it also holds two passages through the
system and the waits of both processes for a processor. Prints {"kind": "own", "ms": […]} once
a second, from a thread.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from drivers.modbus.client import PymodbusLink
from gateway.__main__ import main

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
    """Remembers when each link's last bytes were there, and how long an off frame took since."""

    def __init__(self) -> None:
        self._received_ns: dict[PymodbusLink, int] = {}
        self._own_ms: list[float] = []

    def install(self) -> None:
        """Put the clocks into every link that is opened from now on."""
        open_link, send = PymodbusLink.open, PymodbusLink.send

        async def timed_open(
            link: PymodbusLink,
            on_bytes: Callable[[bytes], None],
            on_lost: Callable[[str], None],
        ) -> None:
            def take(data: bytes) -> None:
                self._received_ns[link] = time.monotonic_ns()
                on_bytes(data)

            await open_link(link, take, on_lost)

        def timed_send(link: PymodbusLink, data: bytes) -> None:
            send(link, data)
            received_ns = self._received_ns.pop(link, None)
            if received_ns is not None and is_off(data):
                self._own_ms.append((time.monotonic_ns() - received_ns) / NS_PER_MS)

        PymodbusLink.open = timed_open  # type: ignore[assignment, method-assign]
        PymodbusLink.send = timed_send  # type: ignore[assignment, method-assign]
        threading.Thread(target=self._tell, name="clocks", daemon=True).start()

    def _tell(self) -> None:
        while True:
            time.sleep(EVERY_S)
            taken, self._own_ms = self._own_ms, []
            if taken:
                print(json.dumps({"kind": "own", "ms": taken}), flush=True)


if __name__ == "__main__":
    Clocks().install()
    main()
