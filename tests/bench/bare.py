"""A program: the least that can cut an outlet off. What the guard's figures stand beside.

A pymodbus client for each connection or line reads the reference module's registers,
compares each current with one limit, and writes the relay's coil. No leases, no latches,
no journal, no other rule, no check of a late answer, no time-out worth the name.

Prints a JSON line "ready" when every outlet is switched on, "own" as ``clocks`` says, and
"end" on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.transport import ModbusProtocol

from tests.bench.clocks import Clocks

CHANNELS = 10
REGISTERS = 44
CURRENT_FROM = 4
AMPERE_PER_DIGIT = 0.01

Client = AsyncModbusSerialClient | AsyncModbusTcpClient


def install(clocks: Clocks) -> None:
    """Put clocks into every connection that is opened from now on."""
    data_received, send = ModbusProtocol.data_received, ModbusProtocol.send

    def timed_received(connection: ModbusProtocol, data: bytes) -> None:
        clocks.received(connection)
        data_received(connection, data)

    def timed_send(
        connection: ModbusProtocol, data: bytes, addr: tuple[Any, ...] | None = None
    ) -> None:
        clocks.sends(connection, data)
        send(connection, data, addr)

    ModbusProtocol.data_received = timed_received  # type: ignore[assignment, method-assign]
    ModbusProtocol.send = timed_send  # type: ignore[assignment, method-assign]
    clocks.start()


@dataclass(slots=True)
class Tally:
    """What the loop did so far."""

    reads: int = 0
    writes: int = 0
    errors: int = 0


@dataclass(slots=True)
class Loop:
    """Reads, compares, writes."""

    limit_a: float
    tally: Tally
    gap_s: float = 0.0
    """Silence before a request on a serial line, which pymodbus does not keep."""

    async def switch_on(self, client: Client, unit: int) -> None:
        """Switch every outlet of a unit on, in one write."""
        await asyncio.sleep(self.gap_s)
        await client.write_coils(0, [True] * CHANNELS, device_id=unit)

    async def turn(self, client: Client, unit: int) -> None:
        """Read a unit once, and switch off what is over the limit."""
        try:
            await asyncio.sleep(self.gap_s)
            answer = await client.read_input_registers(0, count=REGISTERS, device_id=unit)
            self.tally.reads += 1
            for channel in range(CHANNELS):
                current_a = answer.registers[CURRENT_FROM + channel] * AMPERE_PER_DIGIT
                if current_a > self.limit_a:
                    await asyncio.sleep(self.gap_s)
                    await client.write_coil(channel, False, device_id=unit)
                    self.tally.writes += 1
        except (ModbusException, IndexError):
            self.tally.errors += 1


async def _tcp(loop: Loop, host: str, ports: range, poll_s: float, ready: asyncio.Event) -> None:
    """One connection a module, each read once every ``poll_s``, spread evenly over it."""
    clients = [AsyncModbusTcpClient(host, port=port, timeout=1.0, retries=0) for port in ports]
    for client in clients:
        await client.connect()
        await loop.switch_on(client, 1)
    ready.set()
    began = time.monotonic()

    async def keep_reading(client: Client, offset_s: float) -> None:
        due_s = began + offset_s
        while True:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await loop.turn(client, 1)
            due_s += poll_s

    async with asyncio.TaskGroup() as tasks:
        for index, client in enumerate(clients):
            tasks.create_task(keep_reading(client, poll_s * index / len(clients)))


async def _rtu(loop: Loop, port: str, baud: int, units: range, ready: asyncio.Event) -> None:
    """One line, its units read one after another without a pause."""
    client = AsyncModbusSerialClient(port, baudrate=baud, timeout=1.0, retries=0)
    await client.connect()
    for unit in units:
        await loop.switch_on(client, unit)
    ready.set()
    while True:
        for unit in units:
            await loop.turn(client, unit)


async def _run(work: Coroutine[Any, Any, None], ready: asyncio.Event, tally: Tally) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    working = asyncio.create_task(work)
    waiting = [asyncio.create_task(stop.wait()), working]
    await asyncio.wait([asyncio.create_task(ready.wait()), *waiting], return_when="FIRST_COMPLETED")
    print(json.dumps({"kind": "ready"}), flush=True)
    await asyncio.wait(waiting, return_when="FIRST_COMPLETED")
    if working.done():
        working.result()
    working.cancel()
    print(
        json.dumps(
            {
                "kind": "end",
                "reads": tally.reads,
                "writes": tally.writes,
                "errors": tally.errors,
            }
        ),
        flush=True,
    )


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit-a", type=float, required=True)
    parser.add_argument("--poll-s", type=float, default=1.0)
    parser.add_argument("--tcp", metavar="HOST:PORT", help="the first of --count ports")
    parser.add_argument("--count", type=int, default=1, help="modules, or units from 1")
    parser.add_argument("--rtu", metavar="PORT")
    parser.add_argument("--baud", type=int, default=9_600)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    loop = Loop(arguments.limit_a, Tally(), arguments.gap_ms / 1_000)
    ready = asyncio.Event()
    if arguments.tcp:
        install(Clocks())
        host, _, port = arguments.tcp.partition(":")
        ports = range(int(port), int(port) + arguments.count)
        work = _tcp(loop, host, ports, arguments.poll_s, ready)
    else:
        units = range(1, arguments.count + 1)
        work = _rtu(loop, arguments.rtu, arguments.baud, units, ready)
    asyncio.run(_run(work, ready, loop.tally))


if __name__ == "__main__":
    main()
