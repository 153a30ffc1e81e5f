"""What can be plugged in, and the supply behind it, as scenario files describe them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Watts = Annotated[float, Field(ge=0, le=30_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
PowerFactor = Annotated[float, Field(gt=0, le=1)]


class FileModel(BaseModel):
    """Part of a file that people write: frozen, and every key known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MainsSpec(FileModel):
    """The supply: volts, ohms from the mains to a pile, volts of noise (rms), hertz."""

    voltage_v: float = Field(230.0, ge=0, le=500)
    source_ohm: float = Field(0.4, ge=0, le=10)
    noise_v: float = Field(0.3, ge=0, le=20)
    frequency_hz: float = Field(50.0, ge=40, le=70)


class CcCvSpec(FileModel):
    """A lithium charger: ramp, plateau, taper, done."""

    kind: Literal["cc_cv"]
    plateau_w: float = Field(180.0, gt=0, le=5_000)
    capacity_wh: float = Field(500.0, gt=0, le=10_000)
    start_soc: float = Field(0.2, ge=0, le=1)
    power_factor: PowerFactor = 0.6
    ramp_s: Seconds = 2.0
    done_w: Watts = 5.0
    standby_w: Watts = 0.5


class LeadAcidSpec(FileModel):
    """A three-stage charger: bulk, absorption, float."""

    kind: Literal["lead_acid"]
    bulk_a: float = Field(1.8, gt=0, le=50)
    absorption_a: float = Field(0.3, gt=0, le=50)
    float_a: float = Field(0.05, ge=0, le=50)
    pack_v: float = Field(44.0, gt=0, le=150)
    capacity_wh: float = Field(432.0, gt=0, le=10_000)
    start_soc: float = Field(0.3, ge=0, le=1)
    bulk_until_soc: float = Field(0.9, gt=0, le=1)
    power_factor: PowerFactor = 0.55
    ramp_s: Seconds = 1.0


class DualPackSpec(FileModel):
    """One charger with two packs: a dip at the change-over, a re-top after the end."""

    kind: Literal["dual_pack"]
    plateau_w: float = Field(180.0, gt=0, le=5_000)
    capacity_wh: float = Field(500.0, gt=0, le=10_000)
    start_soc: float = Field(0.2, ge=0, le=1)
    power_factor: PowerFactor = 0.6
    ramp_s: Seconds = 2.0
    done_w: Watts = 5.0
    standby_w: Watts = 0.5
    dip_w: float = Field(0.0, ge=0, le=90)
    dip_s: float = Field(20.0, ge=0, le=30)
    change_soc: float = Field(0.9, gt=0, le=1)
    retop_after_s: Seconds = 60.0
    retop_w: Watts = 64.0
    retop_s: Seconds = 10.0


class StandbySpec(FileModel):
    """A charger that does nothing."""

    kind: Literal["standby"]
    power_w: Watts = 0.5
    power_factor: PowerFactor = 0.4


class ApplianceSpec(FileModel):
    """A wrong appliance: kettle, vacuum cleaner, motor."""

    kind: Literal["appliance"]
    power_w: float = Field(gt=0, le=30_000)
    power_factor: PowerFactor = 1.0
    ripple: Share = 0.0
    inrush: float = Field(1.0, ge=1, le=20)
    inrush_s: float = Field(0.3, gt=0, le=60)
    resistive: bool | None = None
    runs_s: Seconds | None = None


class TraceSpec(FileModel):
    """A recorded trace: its file is relative to the scenario's, its speed a factor.

    ``start_s``: where in the recording it begins.
    """

    kind: Literal["trace"]
    file: str
    speed: float = Field(1.0, gt=0, le=100_000)
    start_s: float = Field(0.0, ge=0, le=10_000_000)
    power_factor: PowerFactor = 0.6


LoadSpec = Annotated[
    CcCvSpec | LeadAcidSpec | DualPackSpec | StandbySpec | ApplianceSpec | TraceSpec,
    Field(discriminator="kind"),
]
