"""Device profiles: what stands in which register, and how the relay is switched.

A profile describes one model of device in data. In a loaded profile all addresses are those
on the wire, counted from 0, whatever the document behind it counts from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from gateway.core.ids import NAME_PATTERN

MAX_READ_REGISTERS = 125
"""MODBUS Application Protocol V1.1b3, 6.3 and 6.4."""
MAX_READ_BITS = 2000
"""MODBUS Application Protocol V1.1b3, 6.1 and 6.2."""


class FileModel(BaseModel):
    """Part of a file that people write: frozen, and every key known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class Space(StrEnum):
    """The four address spaces of Modbus, and the function that reads each."""

    COIL = "coil"
    """FC01; written with FC05 or FC0F."""
    DISCRETE = "discrete"
    """FC02."""
    HOLDING = "holding"
    """FC03; written with FC06 or FC10."""
    INPUT = "input"
    """FC04."""

    @property
    def is_bits(self) -> bool:
        """Whether an address holds one bit (and not a register of 16)."""
        return self in (Space.COIL, Space.DISCRETE)


class Quantity(StrEnum):
    """What can be read of an outlet, with its unit in the name."""

    VOLTAGE_V = "voltage_v"
    CURRENT_A = "current_a"
    POWER_W = "power_w"
    POWER_FACTOR = "power_factor"
    FREQUENCY_HZ = "frequency_hz"
    ENERGY_WH = "energy_wh"
    TEMPERATURE_C = "temperature_c"
    RELAY_ON = "relay_on"
    ALARM = "alarm"
    INPUT_ON = "input_on"
    """Whether current flows in a digital input. Of a board of inputs, never of an outlet."""

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false: not 0 means true."""
        return self in (Quantity.RELAY_ON, Quantity.ALARM, Quantity.INPUT_ON)


class ValueType(StrEnum):
    """How a number lies in registers."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    FLOAT32 = "float32"

    @property
    def registers(self) -> int:
        """Registers a value takes."""
        return {"u16": 1, "s16": 1, "u64": 4, "s64": 4}.get(self.value, 2)

    @property
    def largest(self) -> float:
        """Largest raw value."""
        if self is ValueType.FLOAT32:
            return 3.4e38
        bits = 16 * self.registers - (self.value[0] == "s")
        return float((1 << bits) - 1)


class WordOrder(StrEnum):
    """Which register of a value of several has the lowest address."""

    HIGH_FIRST = "high_first"
    LOW_FIRST = "low_first"


class Poll(StrEnum):
    """How often a value is wanted."""

    FAST = "fast"
    SLOW = "slow"


Address = Annotated[int, Field(ge=0, le=65_536, examples=[0, 4, 26])]
Stride = Annotated[int, Field(ge=0, le=1_000)]
Scale = Annotated[float, Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)]
RawWord = Annotated[int, Field(ge=0, le=0xFFFF)]
RegisterFunction = Literal[6, 16]


class Value(FileModel):
    """Where one quantity stands: physical value = raw value x ``scale`` + ``offset``."""

    space: Space
    """Address space: holding (FC03), input (FC04), coil (FC01) or discrete (FC02)."""
    address: Address
    """Address of channel 1, counted as ``address_base`` says."""
    stride: Stride = 0
    """Addresses from one channel to the next; 0: all channels share one value."""
    type: ValueType = ValueType.U16
    """How the number lies in registers. Not for coils and discrete inputs."""
    word_order: WordOrder = WordOrder.HIGH_FIRST
    """Which end of a value of 32 or 64 bits has the lowest address."""
    scale: Scale = 1.0
    """Factor from the raw number to the unit in the quantity's name."""
    offset: Scale = 0.0
    """Added after scaling."""
    invalid: tuple[int, ...] = Field(default=(), max_length=16, examples=[[0x7FFF]])
    """Raw bit patterns (unsigned) by which the device says that it does not know."""
    bit: int | None = Field(default=None, ge=0, le=31)
    """Only this bit of the register, 0 being the lowest."""
    bit_stride: int = Field(default=0, ge=0, le=31)
    """Bits from one channel to the next."""
    poll: Poll = Poll.FAST
    """How often it is wanted."""

    @property
    def width(self) -> int:
        """Addresses one value takes."""
        return 1 if self.space.is_bits else self.type.registers

    def address_of(self, channel: int) -> int:
        """First address of ``channel`` (from 1)."""
        return self.address + (channel - 1) * self.stride

    def bit_of(self, channel: int) -> int | None:
        """Bit of ``channel`` (from 1), or None where the whole value counts."""
        return None if self.bit is None else self.bit + (channel - 1) * self.bit_stride


class CoilRelay(FileModel):
    """A relay that is a coil: FC05 with 0xFF00 or 0x0000."""

    style: Literal["coil"]
    """A coil, written with FC05 or FC0F."""
    address: Address
    """Coil of channel 1."""
    stride: Stride = 1
    """Coils from one channel to the next."""
    multiple: bool = False
    """Whether FC0F switches several neighbouring relays in one write."""

    @property
    def space(self) -> Space:
        """What is written."""
        return Space.COIL

    def address_of(self, channel: int) -> int:
        """Coil of ``channel`` (from 1)."""
        return self.address + (channel - 1) * self.stride


class RegisterRelay(FileModel):
    """A relay that is a holding register with one value for on and one for off."""

    style: Literal["register"]
    """A register with one value for on and one for off."""
    space: Literal[Space.HOLDING] = Space.HOLDING
    """Always holding."""
    address: Address
    """Register of channel 1."""
    stride: Stride = 1
    """Registers from one channel to the next."""
    on: RawWord = 1
    """Raw value that switches on."""
    off: RawWord = 0
    """Raw value that switches off."""
    function: RegisterFunction = 6
    """6 writes one register; 16 (FC10) for devices that only understand that."""

    def address_of(self, channel: int) -> int:
        """Register of ``channel`` (from 1)."""
        return self.address + (channel - 1) * self.stride


class CommandRelay(FileModel):
    """A relay switched by command codes that are not its state: raw FC05 or FC06."""

    style: Literal["command"]
    """Command codes that are not the relay's state."""
    function: Literal["coil", "register"]
    """coil: FC05 with the code as its value; register: FC06."""
    address: Address
    """Address of channel 1."""
    stride: Stride = 1
    """Addresses from one channel to the next."""
    on: RawWord = Field(examples=[0x0100])
    """Code that switches on."""
    off: RawWord = Field(examples=[0x0200])
    """Code that switches off."""

    @property
    def space(self) -> Space:
        """What is written."""
        return Space.COIL if self.function == "coil" else Space.HOLDING

    def address_of(self, channel: int) -> int:
        """Address of ``channel`` (from 1)."""
        return self.address + (channel - 1) * self.stride


Relay = Annotated[CoilRelay | RegisterRelay | CommandRelay, Field(discriminator="style")]


class ModuleLimit(FileModel):
    """One limit that the module enforces by itself, written into it when it comes online."""

    limit: str = Field(examples=["overcurrent_instant.above_a"])
    """Rule and field of the outlet's limits."""
    space: Literal[Space.HOLDING] = Space.HOLDING
    """Always holding."""
    address: Address
    """Register of channel 1."""
    stride: Stride = 1
    """Registers from one channel to the next."""
    type: Literal[ValueType.U16, ValueType.U32] = ValueType.U16
    """How the number lies in registers."""
    word_order: WordOrder = WordOrder.HIGH_FIRST
    """Which half of a 32-bit value has the lower address."""
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Raw value = limit / scale, rounded down."""
    when_off: int | None = Field(default=None, ge=0, le=0xFFFF_FFFF)
    """Raw value written where the rule is switched off; without it nothing is written then."""
    function: RegisterFunction = 6
    """6 writes one register; 16 (FC10) several."""
    delay_s: float = Field(default=0.0, ge=0, le=3_600, allow_inf_nan=False)
    """How long the module itself tolerates more. A rule that tolerates it for longer is left
    to the guard: the module would cut first."""

    def address_of(self, channel: int) -> int:
        """First register of ``channel`` (from 1)."""
        return self.address + (channel - 1) * self.stride

    def raw(self, limit: float) -> int:
        """Raw value for a limit, rounded down: the module may act early, never late."""
        # 1e-9 undoes what binary fractions take off: 12.0 / 0.01 is 1199.9999999999998
        return int(limit / self.scale + 1e-9)


class Watchdog(FileModel):
    """The module switches all its outlets off after so long without a valid frame for it."""

    space: Literal[Space.HOLDING] = Space.HOLDING
    """Always holding."""
    address: Address
    """Register that takes the time."""
    type: Literal[ValueType.U16] = ValueType.U16
    """Always u16."""
    unit: Literal["s", "ms"] = "s"
    """Unit of the register."""
    value: int = Field(ge=1, le=0xFFFF)
    """Time in that unit."""
    function: RegisterFunction = 6
    """6 or 16 (FC10)."""

    @property
    def timeout_ms(self) -> int:
        """Time after which the module switches off."""
        return self.value * (1_000 if self.unit == "s" else 1)


Range = tuple[int, int]

LIMITS_SCHEMA = {"x-layer": "limits"}
"""Stands for the schema of a layer of limits, which ``schema.py`` puts in its place."""


class ProfileDefaults(FileModel):
    """What outlets of this device start from."""

    limits: Annotated[dict[str, Any], WithJsonSchema(LIMITS_SCHEMA)] = Field(default_factory=dict)
    """Limits, merged over the program's own defaults."""


class Profile(FileModel):
    """One model of device."""

    profile: str = Field(pattern=NAME_PATTERN, examples=["pzem-004t-v3"])
    """Name of the profile; the file is called the same, with .yaml."""
    name: str = Field(min_length=1, max_length=200)
    """The device, as people call it."""
    source: str = Field(min_length=1, max_length=2_000)
    """The document from which addresses and types were taken."""
    protocol: Literal["modbus"] = "modbus"
    """How the device speaks."""
    address_base: Literal[0, 1] = 0
    """How this file counts addresses. Loaded addresses always count from 0."""
    channels: int = Field(ge=1, le=256)
    """Outlets (meters, relays) of one device."""
    turnaround_ms: int = Field(default=5, ge=0, le=1_000)
    """Time the device takes before it answers, in ms."""
    min_gap_ms: int = Field(default=0, ge=0, le=1_000)
    """Silence the device needs between its answer and the next request to it, in ms."""
    max_read_registers: int = Field(default=MAX_READ_REGISTERS, ge=1, le=MAX_READ_REGISTERS)
    """Longest read of registers that it answers."""
    max_read_bits: int = Field(default=MAX_READ_BITS, ge=1, le=MAX_READ_BITS)
    """Longest read of coils or discrete inputs that it answers."""
    read_across: int = Field(default=0, ge=0, le=MAX_READ_REGISTERS - 1)
    """Widest hole of unlisted addresses that one read may span; 0: none."""
    whole_reads: bool = False
    """It answers only reads of whole blocks: what is listed of all channels, in one piece."""
    never_read: dict[Space, tuple[Range, ...]] = Field(
        default_factory=dict, examples=[{"holding": [[16, 31]]}]
    )
    """Ranges, both ends included, that a read must not touch, by address space."""
    values: dict[Quantity, Value] = Field(default_factory=dict)
    """What can be read, and where."""
    relay: Relay | None = None
    """How a relay is switched; absent on a device that only measures."""
    module_limits: tuple[ModuleLimit, ...] = Field(default=(), max_length=32)
    """Limits written into the module when it comes online and when they change."""
    watchdog: Watchdog | None = None
    """Time after which a module that hears nothing switches off by itself."""
    defaults: ProfileDefaults = Field(default_factory=ProfileDefaults)
    """What outlets of this device start from."""

    @property
    def is_meter(self) -> bool:
        """Whether it measures current or power, and so can protect an outlet."""
        return Quantity.CURRENT_A in self.values or Quantity.POWER_W in self.values
