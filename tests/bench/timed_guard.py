"""A program: ``pilegate`` with clocks in its links."""

from __future__ import annotations

from collections.abc import Callable

from drivers.modbus.client import PymodbusLink
from gateway.__main__ import main
from tests.bench.clocks import Clocks


def install(clocks: Clocks) -> None:
    """Put clocks into every link that is opened from now on."""
    open_link, send = PymodbusLink.open, PymodbusLink.send

    async def timed_open(
        link: PymodbusLink,
        on_bytes: Callable[[bytes], None],
        on_lost: Callable[[str], None],
    ) -> None:
        def take(data: bytes) -> None:
            clocks.received(link)
            on_bytes(data)

        await open_link(link, take, on_lost)

    def timed_send(link: PymodbusLink, data: bytes) -> None:
        clocks.sends(link, data)
        send(link, data)

    PymodbusLink.open = timed_open  # type: ignore[assignment, method-assign]
    PymodbusLink.send = timed_send  # type: ignore[assignment, method-assign]
    clocks.start()


if __name__ == "__main__":
    install(Clocks())
    main()
