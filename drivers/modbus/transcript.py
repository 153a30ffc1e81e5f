"""Transcripts: the bytes of a device's document or a captured line, and what they mean. Pure.

The format stands in README.md. ``check_transcript`` compares each exchange with a profile, without
the driver's timing and planning: whoever reads whichever registers, the values must be those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from drivers.modbus import frames
from drivers.modbus.frames import Function, Request
from drivers.modbus.likeness import Decoded, Reading, readings
from drivers.modbus.reads import Read, Wanted
from drivers.modbus.values import FIELDS
from drivers.modbus.writes import switch_request
from gateway.config import Device, Profile, Space
from gateway.config.profile import CoilRelay
from gateway.core.ids import BusId, DeviceId, OutletId

MAX_LINES = 10_000
_SPACES = {
    Function.READ_COILS: Space.COIL,
    Function.READ_DISCRETE: Space.DISCRETE,
    Function.READ_HOLDING: Space.HOLDING,
    Function.READ_INPUT: Space.INPUT,
}
_WORDS: dict[str, Decoded] = {"True": True, "False": False, "None": None}


class NotATranscript(ValueError):
    """A line that says nothing; the text says which, and what was expected."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript: its number, verb and rest."""

    number: int
    verb: str
    rest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about one line."""

    line: int
    is_ok: bool
    text: str


@dataclass(slots=True)
class Findings:
    """All verdicts, and what of the profile no answer showed."""

    verdicts: list[Verdict] = field(default_factory=list)
    exchanges: int = 0
    values: int = 0
    not_shown: tuple[str, ...] = ()

    @property
    def wrong(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.is_ok]


def read_transcript(text: str) -> list[Line]:
    """Take a transcript apart. Raises NotATranscript."""
    lines = []
    for number, written in enumerate(text.splitlines(), 1):
        if number > MAX_LINES:
            raise NotATranscript(f"line {number}: a transcript has at most {MAX_LINES} lines")
        stripped = written.split("#")[0].strip()
        if not stripped:
            continue
        verb, _, rest = stripped.partition(" ")
        if verb not in (">", "<", "!", "=", "?"):
            raise NotATranscript(
                f"line {number}: expected >, <, !, ?, = or # at its beginning, not {verb[:20]!r}"
            )
        lines.append(Line(number, verb, rest.strip()))
    return lines


def check_transcript(
    profile: Profile, lines: Iterable[Line], *, unit: int | None = None, channel: int = 1
) -> Findings:
    """Compare a transcript with a profile.

    ``unit`` is the device's; without it that of the first request. ``channel`` is the one of
    names that end in no number. Raises NotATranscript for what can't be read.
    """
    return _Check(profile, unit, channel).run(lines)


class _Check:
    def __init__(self, profile: Profile, unit: int | None, channel: int) -> None:
        self._profile = profile
        self._unit = unit
        self._channel = channel
        self._found = Findings()
        self._asked: tuple[Line, bytes] | None = None
        self._is_ours = True
        self._last: dict[int, dict[str, Decoded]] = {}
        self._shown: set[str] = set()
        self._orders: list[tuple[Line, int, bool]] = []
        """Switching that was ordered and not written yet: channel, and whether on."""

    def run(self, lines: Iterable[Line]) -> Findings:
        for line in lines:
            if line.verb == ">":
                self._unanswered()
                self._asked = (line, self._frame(line))
            elif line.verb == "<":
                self._answer(line)
            elif line.verb == "!":
                self._order(line)
            elif line.verb == "?":
                self._unanswered()
                self._question(line)
        self._unanswered()
        for line, number, _ in self._orders:
            self._say(line, f"nothing was written for channel {number}", ok=False)
        self._found.not_shown = tuple(
            FIELDS[quantity]
            for quantity in self._profile.values
            if FIELDS[quantity] not in self._shown
        )
        return self._found

    def _say(self, line: Line, text: str, *, ok: bool) -> None:
        self._found.verdicts.append(Verdict(line.number, ok, text))

    # ------------------------------------------------------------ frames

    def _frame(self, line: Line) -> bytes:
        """Read the hex of a line; a '*' stands for the check sum of all before it."""
        text = line.rest
        first, _, rest = text.partition(" ")
        if line.verb == "<" and re.fullmatch(r"[0-9.]+ms", first):
            text = rest
        text = text.replace("|", " ").strip()
        try:
            body = bytes.fromhex(text.removesuffix("*"))
        except ValueError:
            raise NotATranscript(
                f"line {line.number}: expected bytes in hex, such as 01 04 00 00 00 0A 70 0D"
            ) from None
        if text.endswith("*"):
            body += frames.crc16(body).to_bytes(2, "little")
        if len(body) < 4 or len(body) > frames.LONGEST_RTU:
            raise NotATranscript(
                f"line {line.number}: a frame has 4 to {frames.LONGEST_RTU} bytes, not {len(body)}"
            )
        return body

    def _broken(self, line: Line, frame: bytes) -> bool:
        expected = frames.crc16(frame[:-2]).to_bytes(2, "little")
        if frame[-2:] == expected:
            return False
        found, right = frame[-2:].hex(" "), expected.hex(" ")
        self._say(line, f"its check sum is {found}, that of its bytes is {right}", ok=False)
        return True

    def _unanswered(self) -> None:
        if self._asked is not None:
            line, _ = self._asked
            self._asked = None
            self._found.exchanges += 1
            self._say(line, "no answer follows", ok=False)

    def _answer(self, line: Line) -> None:
        if self._asked is None:
            raise NotATranscript(f"line {line.number}: an answer, but no request before it")
        (asked, sent), self._asked = self._asked, None
        answer = self._frame(line)
        self._found.exchanges += 1
        if self._broken(asked, sent) or self._broken(line, answer):
            return
        if self._unit is None:
            self._unit = sent[0]
        self._is_ours = sent[0] == self._unit
        if not self._is_ours:
            self._say(asked, f"unit {sent[0]}, another device", ok=True)
            return
        try:
            request = request_of(sent)
        except ValueError as err:
            self._say(asked, str(err), ok=False)
            return
        verdict = frames.judge(request, answer[0], answer[1:-2])
        if isinstance(verdict, frames.Declined):
            named = frames.EXCEPTIONS.get(verdict.code, f"exception {verdict.code}")
            self._say(line, f"the device declines: {named}", ok=False)
        elif isinstance(verdict, frames.Wrong):
            self._say(line, f"not the answer to that request (wrong: {verdict.fault})", ok=False)
        elif request.is_read:
            self._read(asked, request, verdict.data)
        else:
            self._written(asked, request)

    # ------------------------------------------------------------ reads

    def _read(self, line: Line, request: Request, data: bytes) -> None:
        read = read_of(self._profile, request)
        what = f"unit {request.unit}, function {request.function:02d}, {read}"
        for first, last in self._profile.never_read.get(read.space, ()):
            if read.address <= last and first < read.address + read.count:
                self._say(line, f"{what}: never_read names {first} to {last}", ok=False)
                return
        if not read.wanted:
            self._say(line, f"{what}: the profile {_elsewhere(self._profile, read)}", ok=False)
            return
        found = readings(read, request, data)
        fresh: dict[int, dict[str, Decoded]] = {}
        for reading in found:
            if reading.value is not None:
                fresh.setdefault(reading.channel, {})[reading.field] = reading.value
            self._shown.add(reading.field)
        self._last.update(fresh)
        self._say(line, f"{what}: {_told(found, self._profile.channels)}", ok=True)

    def _question(self, line: Line) -> None:
        parts = line.rest.split()
        if len(parts) != 3:
            raise NotATranscript(
                f"line {line.number}: expected a name, a value and what it is: x voltage_v 230.2"
            )
        if not self._is_ours:
            return  # about another device of the same transcript
        name, asked, expected = parts
        known = sorted({FIELDS[quantity] for quantity in FIELDS})
        if asked not in known:
            raise NotATranscript(
                f"line {line.number}: {asked[:40]!r} is no value; known: {', '.join(known)}"
            )
        self._found.values += 1
        found = self._last.get(self._channel_of(line, name), {}).get(asked)
        if not _same(line, expected, found):
            text = f"{name} {asked}: expected {expected}, the profile makes {found} of it"
            self._say(line, text, ok=False)

    def _channel_of(self, line: Line, name: str) -> int:
        digits = re.search(r"[0-9]{1,3}\Z", name)
        number = int(digits[0]) if digits else self._channel
        if not 1 <= number <= self._profile.channels:
            count = self._profile.channels
            raise NotATranscript(f"line {line.number}: {name} is not one of {count} channels")
        return number

    # ------------------------------------------------------------ writes

    def _order(self, line: Line) -> None:
        verb, *names = line.rest.split()
        if verb not in ("on", "off", "cut") or not names:
            raise NotATranscript(f"line {line.number}: expected on, off or cut, and names")
        if self._profile.relay is None:
            return  # for the other device of the same transcript
        for name in names:
            self._orders.append((line, self._channel_of(line, name), verb == "on"))

    def _written(self, line: Line, request: Request) -> None:
        effects = dict(switching_of(self._profile, request))
        if not effects:
            ok = _sets_up(self._profile, request)
            text = "sets the module up" if ok else "the profile would never write this"
            self._say(line, f"unit {request.unit}, function {request.function:02d}: {text}", ok=ok)
            return
        before = len(self._orders)
        if before:
            self._orders = [o for o in self._orders if effects.get(o[1]) is not o[2]]
        states = ", ".join(
            f"channel {number} {'on' if on else 'off'}" for number, on in effects.items()
        )
        ok = not before or len(self._orders) < before
        what = f"unit {request.unit}, function {request.function:02d} switches {states}"
        self._say(line, what if ok else f"{what}: that was not ordered", ok=ok)


def request_of(frame: bytes) -> Request:
    """Read a request's frame. Raises ValueError with one line."""
    unit, pdu = frame[0], frame[1:-2]
    function = pdu[0]
    if function not in set(Function):
        raise ValueError(f"function {function:#04x} is none that this driver uses")
    if len(pdu) < 5:
        raise ValueError(f"a request of function {function:02d} is longer than that")
    address, word = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    kind = Function(function)
    if kind in _SPACES:
        request = frames.read(unit, kind, address, word)
    elif kind is Function.WRITE_COIL:
        request = frames.write_coil(unit, address, word)
    elif kind is Function.WRITE_REGISTER:
        request = frames.write_register(unit, address, word)
    else:
        request = Request(unit, pdu, pdu[:5], 5)
        size = (word + 7) // 8 if kind is Function.WRITE_COILS else 2 * word
        if len(pdu) != 6 + size or pdu[5] != size:
            raise ValueError(f"a request of function {function:02d} whose lengths do not agree")
    if request.pdu != pdu:
        raise ValueError(f"a request of function {function:02d} has {len(request.pdu) + 3} bytes")
    return request


def read_of(profile: Profile, request: Request) -> Read:
    """Say what of a profile a read brings, whoever planned it."""
    space = _SPACES[Function(request.function)]
    address = int.from_bytes(request.pdu[1:3], "big")
    count = int.from_bytes(request.pdu[3:5], "big")
    wanted = []
    for channel in range(1, profile.channels + 1):
        for quantity, value in profile.values.items():
            item = Wanted(OutletId(str(channel)), quantity, value, channel)
            if value.space is space and address <= item.start and item.end <= address + count:
                wanted.append(item)
    return Read(space, address, count, tuple(wanted))


def _elsewhere(profile: Profile, read: Read) -> str:
    """Say what a profile lists instead of what was read: numbering is the usual mistake."""
    places = {value.space: value.address for value in profile.values.values()}
    here = sorted(v.address for v in profile.values.values() if v.space is read.space)
    if not here:
        return f"lists nothing {read.space}, but {', '.join(sorted(places))}: which function is it?"
    if here[0] >= 10_000 > read.address:
        return (
            f"lists {read.space} {here[0]}: an address in a frame counts from 0, without the first "
            "digit of its number (40001 is holding 0)"
        )
    return f"lists nothing there; its first {read.space} is {here[0]}"


def switching_of(profile: Profile, request: Request) -> Iterator[tuple[int, bool]]:
    """Say which channels a write switches, and whether on: ``(channel, on)``."""
    relay = profile.relay
    if relay is None:
        return
    device = Device(
        id=DeviceId("it"),
        bus=BusId("it"),
        unit=request.unit,
        profile=profile,
        turnaround_ms=profile.turnaround_ms,
    )
    address = int.from_bytes(request.pdu[1:3], "big")
    for channel in range(1, profile.channels + 1):
        place = relay.address_of(channel)
        for on in (True, False):
            if switch_request(device, place, on=on).pdu == request.pdu:
                yield channel, on
        if request.function == Function.WRITE_COILS and isinstance(relay, CoilRelay):
            bit = place - address
            count = int.from_bytes(request.pdu[3:5], "big")
            if relay.multiple and 0 <= bit < count:
                yield channel, bool(request.pdu[6 + bit // 8] >> bit % 8 & 1)


def _sets_up(profile: Profile, request: Request) -> bool:
    """Say whether a write goes into the watchdog or a limit."""
    if request.function not in (Function.WRITE_REGISTER, Function.WRITE_REGISTERS):
        return False
    address = int.from_bytes(request.pdu[1:3], "big")
    watchdog = profile.watchdog
    if watchdog is not None and address == watchdog.address:
        return int.from_bytes(request.pdu[-2:], "big") == watchdog.value
    return any(
        address == limit.address_of(channel)
        for limit in profile.module_limits
        for channel in range(1, profile.channels + 1)
    )


def _told(found: Iterable[Reading], channels: int) -> str:
    """Write what an answer says: ``voltage_v 230.2, current_a 1.234``."""
    words = []
    for reading in found:
        where = f"{reading.channel}: " if channels > 1 else ""
        words.append(f"{where}{reading.field} {reading.value}")
    return ", ".join(words)


def _same(line: Line, expected: str, found: Decoded) -> bool:
    if expected in _WORDS:
        return found is _WORDS[expected]
    try:
        number = float(expected)
    except ValueError:
        raise NotATranscript(
            f"line {line.number}: expected a number, True, False or None, not {expected[:40]!r}"
        ) from None
    if found is None or isinstance(found, bool):
        return False
    return math.isclose(found, number, rel_tol=5e-7, abs_tol=1e-9)
