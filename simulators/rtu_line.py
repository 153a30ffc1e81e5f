"""A serial line, on a pseudo-terminal or behind a converter, with the wire time of its baud rate.

Several units, half duplex. Timing as a device sees it: a request ends when its last character
would be off the wire; the unit takes 3.5 characters of silence as its end, turns around, and
its answer is delivered when its last character would be on the wire. A frame whose start
breaks the silence is not answered, and counted. Figures: Modbus over serial line V1.02, 2.5.1.1
(3.5 characters; 1.75 ms above 19,200 baud).
"""

from __future__ import annotations

import heapq
import itertools
import select
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from simulators.codec import MAX_RTU_BYTES, rtu_crc_ok, rtu_frame, rtu_request_length
from simulators.converter_port import ConverterPort
from simulators.faults import spoil_bytes
from simulators.priority import take_priority
from simulators.pty_port import PtyPort
from simulators.sites import ConverterPlace, LinePlace
from simulators.world import Told, World
from simulators.world_clock import WorldClock

FIXED_GAP_ABOVE_BAUD = 19_200
FIXED_GAP_NS = 1_750_000
SPIN_NS = 250_000
"""The kernel may wake a sleeper this late; the rest of a wait is spent looking at the clock."""
ATTENTIVE_NS = 1_000_000
"""For so long after the gap a busy line's next request is waited for without sleeping: on a
wire it would begin when it is sent, and not when a sleeper has woken."""
IDLE_POLL_S = 0.05


@dataclass(slots=True)
class LineStats:
    """Counters of one line. Times are sums in ns; ``first_ns``, ``last_ns``: monotonic.

    ``busy_ns`` = requests + answers on the wire, one gap each, and the stated turn-around:
    divided by the time between two looks it is the utilisation.
    """

    requests: int = 0
    answers: int = 0
    request_wire_ns: int = 0
    answer_wire_ns: int = 0
    gap_ns: int = 0
    turnaround_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    gap_broken: int = 0
    """Frames that began before 3.5 characters of silence."""
    collisions: int = 0
    """Frames that were sent while a unit was answering."""
    bad_frames: int = 0
    """Wrong CRC, truncated, run together or too long."""
    unanswered: int = 0
    """Requests for a unit that is not there, is silent, or lost them."""
    undelivered: int = 0
    """Answers that nobody took off the port."""
    late_ns: int = 0
    """How much too late answers were delivered, in all: the simulator's own share of idle."""
    late_max_ns: int = 0

    @property
    def busy_ns(self) -> int:
        return self.request_wire_ns + self.answer_wire_ns + self.gap_ns + self.turnaround_ns


class RtuLine:
    """One line in a thread of its own."""

    def __init__(
        self,
        world: World,
        place: LinePlace | ConverterPlace,
        clock: WorldClock,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.place = place
        self.char_ns = round(place.char_bits * 1e9 / place.baud)
        self.gap_ns = FIXED_GAP_NS
        if place.baud <= FIXED_GAP_ABOVE_BAUD:
            self.gap_ns = round(3.5 * self.char_ns)
        self._world = world
        self._clock = clock
        self._report = report
        self._stats = LineStats()
        self._port: PtyPort | ConverterPort
        if isinstance(place, ConverterPlace):
            self._port = ConverterPort(place.id, place.host, place.port)
        else:
            self._port = PtyPort(place.port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"line-{place.id}", daemon=True)
        self._quiet_since_ns = 0
        self._order = itertools.count()
        self._late: list[tuple[int, int, Told]] = []
        self._has_priority = False
        self._busy = False
        """Whether requests follow answers closely."""

    def start(self) -> str:
        """Open the port; gives the name of the pseudo-terminal, or HOST:PORT.

        Raises FixInstallation.
        """
        name = self._port.open()
        self._thread.start()
        return name

    def close(self) -> None:
        """End the thread and remove the symbolic link."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._port.close()

    def stats(self) -> dict[str, Any]:
        """Counters since the start, and what the line is."""
        stats = asdict(self._stats)
        return {
            "bus": self.place.id,
            "baud": self.place.baud,
            "has_priority": self._has_priority,
            **stats,
            "busy_ns": self._stats.busy_ns,
        }

    def _run(self) -> None:
        self._has_priority = take_priority()
        while not self._stopping.is_set():
            attentive_until_ns = self._quiet_since_ns + self.gap_ns + ATTENTIVE_NS
            if self._busy and self._clock.now_ns() < attentive_until_ns:
                self._busy = self._wait(attentive_until_ns, spin_ns=ATTENTIVE_NS + SPIN_NS)
            if self._wait(self._clock.now_ns() + round(IDLE_POLL_S * 1e9)):
                self._take_request()
            garbage = self._world.babble(self.place.id, self._clock.now_s())
            if garbage:
                self._deliver(garbage)

    # Requests

    def _take_request(self) -> None:
        begun_ns = self._clock.now_ns()
        data = self._port.read()
        if not data:
            return
        silent_ns = begun_ns - self._quiet_since_ns
        self._busy = silent_ns < self.gap_ns + ATTENTIVE_NS
        data, whole = self._rest_of_frame(data, begun_ns)
        wire_ns = len(data) * self.char_ns
        ended_ns = begun_ns + wire_ns
        self._quiet_since_ns = ended_ns
        if silent_ns < self.gap_ns:
            self._stats.gap_broken += 1
            return
        if self._wait(ended_ns + self.gap_ns):
            whole = False
            self._swallow()
        if not whole or not rtu_crc_ok(data):
            self._stats.bad_frames += 1
            return
        self._count_request(begun_ns, wire_ns)
        self._carry_out(data, begun_ns, ended_ns)

    def _rest_of_frame(self, data: bytes, begun_ns: int) -> tuple[bytes, bool]:
        """Collect until the frame is whole or the line was silent; say whether it is one frame."""
        while True:
            length = rtu_request_length(data)
            if length and len(data) >= length:
                return data, len(data) == length
            silent_at_ns = begun_ns + len(data) * self.char_ns + self.gap_ns
            if not self._wait(silent_at_ns):
                return data, length == 0
            more = self._port.read()
            data = (data + more)[: 2 * MAX_RTU_BYTES]

    def _swallow(self) -> None:
        """Take off what ran into a frame: it lasts until the line is silent again."""
        while True:
            more = self._port.read()
            now_ns = self._clock.now_ns()
            start_ns = max(now_ns, self._quiet_since_ns)
            self._quiet_since_ns = start_ns + len(more) * self.char_ns
            if not more or not self._wait(self._quiet_since_ns):
                return

    def _count_request(self, begun_ns: int, wire_ns: int) -> None:
        stats = self._stats
        stats.requests += 1
        stats.request_wire_ns += wire_ns
        stats.gap_ns += self.gap_ns
        stats.first_ns = stats.first_ns or begun_ns

    def _carry_out(self, frame: bytes, begun_ns: int, ended_ns: int) -> None:
        unit, pdu = frame[0], frame[1:-2]
        now_s = self._clock.at_s(ended_ns)
        bus = self.place.id
        if unit == 0:
            self._world.broadcast(bus, pdu, now_s, begun_ns)
            return
        told = self._world.ask(bus, unit, pdu, now_s, begun_ns)
        if told is None:
            self._stats.unanswered += 1
            return
        turnaround_ns = round(told.turnaround_s * 1e9)
        starts_ns = ended_ns + self.gap_ns + turnaround_ns
        if told.answer.delay_s > 0:
            due_ns = starts_ns + round(told.answer.delay_s * 1e9)
            heapq.heappush(self._late, (due_ns, next(self._order), told))
            return
        self._stats.turnaround_ns += turnaround_ns
        self._answer(told, starts_ns)

    # Answers

    def _frame_of(self, told: Told) -> bytes:
        frame = rtu_frame(told.answer.unit, told.answer.pdu)
        return spoil_bytes(frame, told.answer, spoilable=len(frame))

    def _answer(self, told: Told, starts_ns: int) -> None:
        frame = self._frame_of(told)
        size = -(-len(frame) // told.answer.pieces)
        for index in range(0, len(frame), size):
            piece = frame[index : index + size]
            due_ns = starts_ns + (index + len(piece)) * self.char_ns
            if self._wait(due_ns):
                self._stats.collisions += 1
                self._quiet_since_ns = starts_ns + len(frame) * self.char_ns
                self._swallow()
                return
            sent_ns = self._deliver(piece)
        self._stats.answers += 1
        self._stats.answer_wire_ns += len(frame) * self.char_ns
        self._stats.gap_ns += self.gap_ns
        self._stats.last_ns = sent_ns
        self._stats.late_ns += sent_ns - due_ns
        self._stats.late_max_ns = max(self._stats.late_max_ns, sent_ns - due_ns)
        self._tell_over(told, sent_ns)

    def _send_late(self) -> None:
        """Deliver what was held back and is due, whatever else goes on: that is its nature."""
        while self._late and self._late[0][0] <= self._clock.now_ns():
            told = heapq.heappop(self._late)[2]
            self._tell_over(told, self._deliver(self._frame_of(told)))

    def _tell_over(self, told: Told, sent_ns: int) -> None:
        for outlet in told.over:
            self._report({"kind": "over", "outlet": outlet, "mono_ns": sent_ns})

    def _deliver(self, data: bytes) -> int:
        """Hand bytes over; gives the moment just before."""
        sent_ns = self._clock.now_ns()
        self._quiet_since_ns = max(self._quiet_since_ns, sent_ns)
        if not self._port.write(data):
            self._stats.undelivered += 1
        return sent_ns

    # Time

    def _wait(self, until_ns: int, spin_ns: int = SPIN_NS) -> bool:
        """Wait until a moment, or until bytes arrive: True. The last ``spin_ns`` are spun."""
        port = self._port.fileno()
        while True:
            self._send_late()
            now_ns = self._clock.now_ns()
            if now_ns >= until_ns:
                return False
            left_ns = min(until_ns, self._late[0][0] if self._late else until_ns) - now_ns
            sleep_s = max(0, left_ns - spin_ns) / 1e9
            if select.select([port], [], [], sleep_s)[0]:
                return True
