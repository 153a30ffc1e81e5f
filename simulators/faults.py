"""What goes wrong between a device and the wire. Pure, and repeatable by its seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

BABBLE_MEAN_S = 0.2
"""A babbling device sends garbage about five times a second."""
BABBLE_MAX_BYTES = 24


class LinkFault(StrEnum):
    """Faults of a device's answers."""

    SILENT = "silent"
    """It hears nothing and says nothing."""
    LOST = "lost"
    """A share of the exchanges fails: half lose the request, half lose the answer."""
    LATE = "late"
    """A share of the answers comes ``delay_ms`` late."""
    CORRUPT = "corrupt"
    """A share of the answers arrives with a wrong byte: on a serial line anywhere, on TCP
    (whose own checksum would drop it) in the header, the function or the byte count."""
    TRUNCATED = "truncated"
    """A share of the answers ends before its end."""
    WRONG_UNIT = "wrong_unit"
    """A share of the answers bears another unit's address."""
    WRONG_FUNCTION = "wrong_function"
    """A share of the answers bears another function code."""
    PIECES = "pieces"
    """A share of the answers arrives in pieces, each when its last byte would be there."""
    BABBLE = "babble"
    """It sends garbage at random moments."""


@dataclass(frozen=True, slots=True)
class LinkTrouble:
    """One active fault."""

    kind: LinkFault
    share: float = 1.0
    delay_ms: float = 500.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is left of an answer: unit and PDU, and what is to be done to its bytes."""

    unit: int
    pdu: bytes
    delay_s: float = 0.0
    flip_at: float | None = None
    """Where to spoil the frame, as a share of its length."""
    keep: float = 1.0
    """Share of the frame that is sent."""
    pieces: int = 1


class LinkFaults:
    """The active faults of one device."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._active: list[LinkTrouble] = []
        self._next_babble_s = 0.0

    def start(self, trouble: LinkTrouble) -> None:
        self._active.append(trouble)

    def stop(self, trouble: LinkTrouble | None = None) -> None:
        """End one fault, or all of them."""
        self._active = [] if trouble is None else [t for t in self._active if t is not trouble]

    def loses_request(self) -> bool:
        """Say whether the next request never arrives."""
        return any(
            trouble.kind is LinkFault.SILENT
            or (trouble.kind is LinkFault.LOST and self._hit(trouble.share / 2))
            for trouble in self._active
        )

    def spoil(self, answer: Answer) -> Answer | None:
        """Say what becomes of an answer; None when it is lost."""
        for trouble in self._active:
            spoiled = self._apply(trouble, answer)
            if spoiled is None:
                return None
            answer = spoiled
        return answer

    def babble(self, now_s: float) -> bytes:
        """Garbage that is due now; empty when there is none."""
        if all(trouble.kind is not LinkFault.BABBLE for trouble in self._active):
            self._next_babble_s = now_s
            return b""
        if now_s < self._next_babble_s:
            return b""
        self._next_babble_s = now_s + self._random.expovariate(1 / BABBLE_MEAN_S)
        return self._random.randbytes(self._random.randint(1, BABBLE_MAX_BYTES))

    def _hit(self, share: float) -> bool:
        return self._random.random() < share

    def _apply(self, trouble: LinkTrouble, answer: Answer) -> Answer | None:
        kind = trouble.kind
        if kind is LinkFault.LOST:
            # Of the exchanges whose request arrived, so that the whole share fails.
            return None if self._hit(trouble.share / (2 - trouble.share)) else answer
        if kind is LinkFault.BABBLE or not self._hit(trouble.share):
            return answer
        return self._spoiled(kind, trouble, answer)

    def _spoiled(self, kind: LinkFault, trouble: LinkTrouble, answer: Answer) -> Answer:
        unit, pdu = answer.unit, answer.pdu
        delay_s, flip_at, keep, pieces = answer.delay_s, answer.flip_at, answer.keep, answer.pieces
        if kind is LinkFault.LATE:
            delay_s += trouble.delay_ms / 1000
        elif kind is LinkFault.CORRUPT:
            flip_at = self._random.random()
        elif kind is LinkFault.TRUNCATED:
            keep = self._random.uniform(0.1, 0.9)
        elif kind is LinkFault.WRONG_UNIT:
            unit = unit % 247 + 1
        elif kind is LinkFault.WRONG_FUNCTION:
            pdu = bytes([pdu[0] ^ 0x07]) + pdu[1:]
        elif kind is LinkFault.PIECES:
            pieces = self._random.randint(2, 4)
        return Answer(unit, pdu, delay_s, flip_at, keep, pieces)


def spoil_bytes(frame: bytes, answer: Answer, *, spoilable: int) -> bytes:
    """Apply ``flip_at`` (within the first ``spoilable`` bytes) and ``keep`` to a frame."""
    if answer.flip_at is not None:
        at = int(answer.flip_at * min(spoilable, len(frame)))
        frame = frame[:at] + bytes([frame[at] ^ 0x5A]) + frame[at + 1 :]
    if answer.keep < 1:
        frame = frame[: max(1, int(len(frame) * answer.keep))]
    return frame
