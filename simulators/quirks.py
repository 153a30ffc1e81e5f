"""What a model does beyond what its profile says.

Sources: the project's collected domain facts, section 3; Peacefair's PZEM-004T V3.0 manual
(functions 03, 04, 06, 41, 42; alarm in register 1, address in register 2), which is that of the
-014 and -016, too; Waveshare's "Modbus RTU Relay" protocol V2 (coil 00FF speaks to all relays,
value 5500 flips, coils from 0200 flash on for so many 100 ms; with inputs also function 02);
fawno/Modbus "DDS238-2 ZN/S" (understands only FC03 and FC10; register 15 holds address and baud
rate); Chint's DDSU666 manual (03 reads, 10 writes; register 06 holds the address, 0C the baud
rate); Erriez/R421A08-rs485-8ch-relay-board (functions 03 and 06).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from simulators.codec import Function, Space

ALL_FUNCTIONS = frozenset(Function) - {Function.RESET_ENERGY}


@dataclass(frozen=True, slots=True)
class Quirks:
    """A model's own ways."""

    functions: frozenset[Function] = ALL_FUNCTIONS
    """What it understands; anything else is refused with exception 01."""
    all_relays_coil: int | None = None
    flip_value: int | None = None
    flash_on_from: int | None = None
    """First of the coils whose FC05 closes a relay for value x 100 ms."""
    has_command_codes: bool = False
    """Whether its registers take the R421A08's commands."""
    registers: dict[tuple[Space, int], int] = field(default_factory=dict)
    """Registers that the profile has no use for, with the values they start with."""


PZEM = Quirks(
    functions=frozenset(
        {
            Function.READ_HOLDING,
            Function.READ_INPUT,
            Function.WRITE_REGISTER,
            Function.RESET_ENERGY,
        }
    ),
    registers={(Space.HOLDING, 1): 23_000, (Space.HOLDING, 2): 1},
)
WAVESHARE = Quirks(
    functions=frozenset(
        {
            Function.READ_COILS,
            Function.READ_HOLDING,
            Function.WRITE_COIL,
            Function.WRITE_REGISTER,
            Function.WRITE_COILS,
        }
    ),
    all_relays_coil=0x00FF,
    flip_value=0x5500,
    flash_on_from=0x0200,
)
DDS238 = Quirks(
    functions=frozenset({Function.READ_HOLDING, Function.WRITE_REGISTERS}),
    registers={(Space.HOLDING, 0x15): 0x0101},
)
EASTRON = Quirks(
    functions=frozenset({Function.READ_HOLDING, Function.READ_INPUT, Function.WRITE_REGISTERS})
)
DDSU666 = Quirks(
    functions=frozenset({Function.READ_HOLDING, Function.WRITE_REGISTERS}),
    registers={(Space.HOLDING, 0x06): 1, (Space.HOLDING, 0x0C): 3},
)
WAVESHARE_WITH_INPUTS = replace(WAVESHARE, functions=WAVESHARE.functions | {Function.READ_DISCRETE})
R421A08 = Quirks(
    functions=frozenset({Function.READ_HOLDING, Function.WRITE_REGISTER}),
    has_command_codes=True,
)
COIL_CLONE = Quirks(functions=frozenset({Function.READ_COILS, Function.WRITE_COIL}))
REGISTER_CLONE = Quirks(functions=frozenset({Function.READ_HOLDING, Function.WRITE_REGISTER}))

QUIRKS = {
    "pzem-": PZEM,
    "waveshare-relay-d": WAVESHARE_WITH_INPUTS,
    "waveshare-io": WAVESHARE_WITH_INPUTS,
    "waveshare-": WAVESHARE,
    "dds238": DDS238,
    "ddsu666": DDSU666,
    "sdm": EASTRON,
    "r421a08": R421A08,
    "relay-8-coil": COIL_CLONE,
    "relay-8-register": REGISTER_CLONE,
}
"""By the beginning of the profile's name; the first that fits counts."""


def quirks_of(profile: str) -> Quirks:
    """Quirks of a profile; a model that is not listed has none."""
    for beginning, quirks in QUIRKS.items():
        if profile.startswith(beginning):
            return quirks
    return Quirks()
