"""Limits to try: those of an outlet, of a record or the program's own, with changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.core.errors import CorrectFiles, CorrectInput, Problem

if TYPE_CHECKING:
    from gateway.guard.limits import Limits


class Trial:
    """Makes limits with the same changes again and again; those made before are remembered."""

    def __init__(self, changes: tuple[str, ...]) -> None:
        """Take changes such as ``overpower.above_w=1000`` or ``full=null``."""
        self._changes = changes
        self._made: dict[str, Limits] = {}

    def limits(self, base: Mapping[str, Any] | None, name: str) -> Limits:
        """Give the limits ``base`` (None: the program's own) with the changes.

        ``name`` says in an error where they come from. Raises CorrectFiles and CorrectInput.
        """
        key = json.dumps(base)
        if key not in self._made:
            self._made[key] = self._make(None if base is None else key, name)
        return self._made[key]

    def _make(self, base: str | None, name: str) -> Limits:
        from gateway.config.merge import merge, read_layer  # noqa: PLC0415 - pydantic is slow
        from gateway.config.yaml_source import parse_yaml  # noqa: PLC0415

        problems: list[Problem] = []
        layers = []
        texts = [] if base is None else [(base, name)]
        texts += [(_yaml(change), f"--set {change}") for change in self._changes]
        for text, origin in texts:
            source = parse_yaml(text, origin)
            layers.append(read_layer(source.data, source, (), origin, problems))
        merged = merge(layers, problems)
        if problems:
            raise CorrectFiles(problems)
        return merged.limits


def _yaml(change: str) -> str:
    """Write ``rule.field=value``, or ``rule=null``, as a rule of a limits section."""
    key, equals, value = change.partition("=")
    rule, dot, field = key.strip().partition(".")
    if not equals or not rule or (dot and not field):
        raise CorrectInput(
            f"--set {change}: write RULE.FIELD=VALUE, like overpower.above_w=1000", field="set"
        )
    return f"{rule}: {{{field}: {value}}}" if dot else f"{rule}: {value}"
