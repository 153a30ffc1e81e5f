"""Kinds of arguments: durations and targets, with errors that show what is accepted."""

from __future__ import annotations

import math

import click

from gateway.commands.target import Target, parse_target
from gateway.core.errors import CorrectInput
from gateway.core.units import parse_duration_s


class Duration(click.ParamType[float]):
    """``90s``, ``30m``, ``2h``, ``1h30m``, ``1d`` or bare seconds; gives seconds above 0."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration_s(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not seconds > 0:
            self.fail(f"{value!r} is no time at all: write 90s, 30m, 2h, 1h30m or 1d", param, ctx)
        return seconds


class Amount(click.ParamType[float]):
    """A number above 0, or within bounds; not ``nan``, and not ``inf``."""

    name = "number"

    def __init__(self, least: float = 0.0, most: float = math.inf) -> None:
        self._least = least
        self._most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            amount = float(str(value))
        except ValueError:
            amount = math.nan
        if not 0 < amount < math.inf:
            self.fail(f"{value!r} is no number above 0", param, ctx)
        if not self._least <= amount <= self._most:
            wanted = f"expected {self._least:g} to {self._most:g}"
            self.fail(f"{wanted}, not {value!r}", param, ctx)
        return amount


class TargetType(click.ParamType[Target]):
    """An outlet, pile/ID, station/ID or site."""

    name = "target"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Target:
        try:
            return value if isinstance(value, Target) else parse_target(str(value))
        except CorrectInput as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()
AMOUNT = Amount()
TARGET = TargetType()
