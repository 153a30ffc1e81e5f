"""Collects everything that is wrong with one site file, or odd about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.config.explain import read_as, shown
from gateway.config.yaml_source import KeyPath, Source
from gateway.core.errors import Problem


@dataclass(slots=True)
class Findings:
    """Problems refuse the site; warnings are told and kept."""

    source: Source
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, path: KeyPath, message: str) -> None:
        """Refuse the site for what stands at ``path``."""
        self.problems.append(self.source.problem(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        """Tell that what stands at ``path`` is odd."""
        self.warnings.append(self.source.problem(path, message))

    def read(self, expected: Any, data: Any, path: KeyPath) -> Any | None:
        """Read one value; None when it is wrong, which is noted."""
        return read_as(expected, data, self.source, path, self.problems)

    def entries(self, data: Any, path: KeyPath) -> list[tuple[KeyPath, dict[str, Any]]]:
        """Give the mappings of a list with their paths; note what is something else."""
        if not isinstance(data, list):
            self.wrong(path, f"expected a list, not {shown(data)}")
            return []
        found: list[tuple[KeyPath, dict[str, Any]]] = []
        for index, item in enumerate(data):
            if isinstance(item, dict):
                found.append(((*path, index), item))
            else:
                self.wrong((*path, index), f"expected keys with values, not {shown(item)}")
        return found


class Claims:
    """Things that only one may have; notes the second that claims one."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._first: dict[Any, KeyPath] = {}

    def claim(self, thing: Any, path: KeyPath, message: str) -> bool:
        """Claim ``thing`` for ``path``. ``message`` takes the first one's line as ``{line}``."""
        if thing not in self._first:
            self._first[thing] = path
            return True
        line = self._found.source.line(self._first[thing])
        self._found.wrong(path, message.replace("{line}", str(line)))
        return False
