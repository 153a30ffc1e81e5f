"""What an outlet may do, and what happens when it does more.

Plain frozen dataclasses: configuration fills them, protection reads them. Each rule says
its threshold, its delay, what is done (``action``) and who may release what it latched
(``release``). A rule that is ``None`` is switched off.

The defaults start from what existing piles promise (AP3000 family and others): overload
2,000 W on multi-outlet piles, 5.0 to 5.5 A, 270 V and 100 V, 80 °C for 30 s, no load below
30 W within 1,800 s, longest time 36,000 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Action(StrEnum):
    """What a rule does when it acts."""

    CUT = "cut"
    """Switch off and latch until released."""
    OFF = "off"
    """Switch off and leave the outlet free."""
    ALARM = "alarm"
    """Say so and go on."""


class Release(StrEnum):
    """Who may release a latch."""

    AUTOMATIC = "automatic"
    """The guard itself, after ``cooldown_s`` without the cause."""
    OPERATOR = "operator"
    """Anybody who may switch, from afar."""
    ON_SITE = "on_site"
    """Only a person at the outlet, who says so."""


class Curve(StrEnum):
    """IEC 60255-151 inverse-time curves: t = TMS * k / ((I/Is)^alpha - 1)."""

    STANDARD_INVERSE = "standard_inverse"
    VERY_INVERSE = "very_inverse"
    EXTREMELY_INVERSE = "extremely_inverse"
    LONG_TIME_INVERSE = "long_time_inverse"

    @property
    def constants(self) -> tuple[float, float]:
        """``(k_s, alpha)`` of the curve, from IEC 60255-151 table 1 (inverse types A to C)."""
        return _CURVES[self]


_CURVES = {
    Curve.STANDARD_INVERSE: (0.14, 0.02),
    Curve.VERY_INVERSE: (13.5, 1.0),
    Curve.EXTREMELY_INVERSE: (80.0, 2.0),
    Curve.LONG_TIME_INVERSE: (120.0, 1.0),
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by configuration, never written

    action: Action = Action.CUT
    release: Release = Release.OPERATOR
    delay_s: float = 0.0
    """How long the cause must last without a break before the rule acts."""
    cooldown_s: float = 60.0
    """With automatic release: how long the cause must be gone."""

    def __post_init__(self) -> None:
        _require(0 <= self.delay_s <= 86_400, "delay_s is from 0 to 86400")
        _require(1 <= self.cooldown_s <= 86_400, "cooldown_s is from 1 to 86400")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboveCurrent(Rule):
    """Acts when the current stays above ``above_a``."""

    above_a: float

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_a <= 125, "above_a is above 0 and at most 125")


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseTime(Rule):
    """IEC 60255 inverse time: the more above ``pickup_a``, the sooner. ``delay_s`` is not used."""

    pickup_a: float
    curve: Curve = Curve.VERY_INVERSE
    time_multiplier: float = 0.1
    """TMS of IEC 60255."""

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.pickup_a <= 125, "pickup_a is above 0 and at most 125")
        _require(0.01 <= self.time_multiplier <= 10, "time_multiplier is from 0.01 to 10")


@dataclass(frozen=True, slots=True, kw_only=True)
class AbovePower(Rule):
    """Acts when the power stays above ``above_w`` (or above the lease's own limit)."""

    above_w: float

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_w <= 30_000, "above_w is above 0 and at most 30000")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboveVoltage(Rule):
    """Acts when the voltage stays above ``above_v``."""

    above_v: float

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_v <= 500, "above_v is above 0 and at most 500")


@dataclass(frozen=True, slots=True, kw_only=True)
class BelowVoltage(Rule):
    """Acts when the voltage stays below ``below_v``."""

    below_v: float

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.below_v <= 500, "below_v is above 0 and at most 500")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboveTemperature(Rule):
    """Acts when the outlet's temperature stays above ``above_c``, where it is measured."""

    above_c: float

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_c <= 150, "above_c is above 0 and at most 150")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplugged(Rule):
    """Acts when a load was seen and the power then stays below ``below_w`` for ``delay_s``.

    The delay must outlast a dual-pack charger's change-over (up to about 20 s at 0 W).
    """

    action: Action = Action.OFF
    delay_s: float = 60.0
    below_w: float = 1.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.below_w <= 100, "below_w is above 0 and at most 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoLoad(Rule):
    """Acts when no load of ``below_w`` or more was seen within ``delay_s`` of switching on.

    A load lasts for some seconds (``charge.LOAD_MS``): a spike when the relay closes is none.
    """

    action: Action = Action.OFF
    delay_s: float = 1_800.0
    below_w: float = 7.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.below_w <= 100, "below_w is above 0 and at most 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Rule):
    """Acts when a charge has tapered and floats, or when its power goes to zero after a taper.

    Floating is a power below ``float_w`` or below ``float_share`` of the charge's plateau, for
    ``delay_s``. A rise of more than ``restart_w`` starts the delay anew: a re-top after the end
    is part of a charge. So does a fall: what falls still tapers (``charge.FALL_SHARE``).

    The last stage of many chargers lies higher, and lasts: lead-acid absorption takes hours at a
    sixth of the plateau. So a power below ``taper_w`` or ``taper_share`` of the plateau means that
    a charge has tapered once it has lasted for ``settle_s``, but ends it only after
    ``taper_delay_s``. When the power of a charge that has tapered goes to zero, that is full as
    well, after the delay of the rule *unplugged*; later, when the meter shows a stand-by below that
    rule's threshold (``charge.RETOP_MS``). ``settle_s`` must outlast the dips of a dual-pack
    charger's change-over.

    Figures: lead-acid, 36 V, 12 Ah: 1.8 A, then 0.3 A (a sixth), then 50 mA (3 %); piles in use
    end below 20 % of the charge's power after 30 to 90 min, which is before such a battery is full
    (domain facts, sections 1 and 2).
    """

    action: Action = Action.OFF
    delay_s: float = 1_800.0
    float_w: float = 2.0
    float_share: float = 0.06
    restart_w: float = 6.0
    taper_w: float = 10.0
    taper_share: float = 0.2
    taper_delay_s: float = 14_400.0
    settle_s: float = 60.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.settle_s <= 3_600, "settle_s is above 0 and at most 3600")
        _require(0 < self.float_w <= 100, "float_w is above 0 and at most 100")
        _require(0 <= self.float_share < 0.6, "float_share is from 0 to below 0.6")
        _require(0 < self.restart_w <= 100, "restart_w is above 0 and at most 100")
        _require(0 < self.taper_w <= 100, "taper_w is above 0 and at most 100")
        _require(0 <= self.taper_share < 0.6, "taper_share is from 0 to below 0.6")
        _require(0 < self.taper_delay_s <= 86_400, "taper_delay_s is above 0 and at most 86400")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAppliance(Rule):
    """Acts when what is plugged in has looked like no charger for ``delay_s``.

    That is a load above ``above_w``, which no charger draws (up to 900 W: domain facts, section
    1), and one above ``resistive_above_w`` that looks like a heater or a motor.
    """

    action: Action = Action.ALARM
    delay_s: float = 10.0
    above_w: float = 1_000.0
    resistive_above_w: float = 200.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_w <= 30_000, "above_w is above 0 and at most 30000")
        _require(
            0 < self.resistive_above_w <= 30_000, "resistive_above_w is above 0 and at most 30000"
        )


MOST_BREAKS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LooseContact(Rule):
    """Acts when the power of a charge is gone and back ``times`` times within ``within_s``.

    ``delay_s`` is not used. The default is above what any charger does: a dual-pack charger
    changes over once, a re-top comes once and after the end (domain facts, section 1).
    """

    action: Action = Action.ALARM
    times: int = 4
    within_s: float = 120.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(2 <= self.times <= MOST_BREAKS, f"times is from 2 to {MOST_BREAKS}")
        _require(1 <= self.within_s <= 3_600, "within_s is from 1 to 3600")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestTime(Rule):
    """Acts when a lease, with all its renewals, has lasted ``delay_s``."""

    action: Action = Action.OFF
    delay_s: float = 36_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Rule):
    """Acts when an outlet that is on has not been sampled for ``delay_s``."""

    action: Action = Action.OFF
    delay_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Welded(Rule):
    """Acts when more than ``above_a`` flows although the outlet is commanded off."""

    release: Release = Release.ON_SITE
    delay_s: float = 2.0
    above_a: float = 0.05

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_a <= 5, "above_a is above 0 and at most 5")
        _require(
            self.action is not Action.OFF, "action is cut or alarm: it is commanded off already"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenMeter(Rule):
    """Acts when a polled meter has shown the very same voltage, current and power for ``delay_s``.

    Under load the mains alone moves the last digit of a working meter. Not for meters that report
    on change, and not below ``above_w``.
    """

    action: Action = Action.ALARM
    delay_s: float = 600.0
    above_w: float = 10.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(0 < self.above_w <= 30_000, "above_w is above 0 and at most 30000")
        _require(self.delay_s >= 60, "delay_s is at least 60: a quiet minute proves nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReaction(Rule):
    """Acts when a relay does not follow its command for ``delay_s``."""

    delay_s: float = 5.0

    def __post_init__(self) -> None:
        Rule.__post_init__(self)
        _require(self.delay_s > 0, "delay_s is above 0: a relay needs time")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAlarm(Rule):
    """Acts when the module itself raises the outlet's alarm bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All rules of one outlet."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by configuration, never written

    overcurrent_instant: AboveCurrent | None = AboveCurrent(above_a=16.0)
    overcurrent: AboveCurrent | None = AboveCurrent(above_a=10.0, delay_s=3.0)
    overcurrent_inverse: InverseTime | None = None
    overpower: AbovePower | None = AbovePower(above_w=2_000.0, delay_s=3.0)
    overvoltage: AboveVoltage | None = AboveVoltage(
        above_v=270.0, delay_s=1.0, release=Release.AUTOMATIC
    )
    undervoltage: BelowVoltage | None = BelowVoltage(
        below_v=100.0, delay_s=1.0, release=Release.AUTOMATIC
    )
    overtemperature: AboveTemperature | None = AboveTemperature(above_c=80.0, delay_s=30.0)
    device_alarm: DeviceAlarm | None = field(default_factory=DeviceAlarm)
    unplugged: Unplugged | None = field(default_factory=Unplugged)
    no_load: NoLoad | None = field(default_factory=NoLoad)
    full: Full | None = field(default_factory=Full)
    wrong_appliance: WrongAppliance | None = field(default_factory=WrongAppliance)
    loose_contact: LooseContact | None = field(default_factory=LooseContact)
    longest_time: LongestTime = field(default_factory=LongestTime)
    frozen_meter: FrozenMeter | None = field(default_factory=FrozenMeter)
    silence: Silence = field(default_factory=Silence)
    welded: Welded = field(default_factory=Welded)
    no_reaction: NoReaction = field(default_factory=NoReaction)
