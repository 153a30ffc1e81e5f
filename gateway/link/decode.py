"""Strict reading of JSON objects: the first thing that is wrong is named by its path.

Everything here is pure. ``CorrectInput.field`` holds the path, like ``target.id`` or
``outlets[3]``.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import Any, TypeVar

from gateway.core.errors import CorrectInput
from gateway.core.ids import is_name

LONGEST_TEXT = 512
"""Characters; longer texts are refused wherever nothing shorter is asked for."""

_TOKEN = re.compile(r"[!-~]{1,128}")

E = TypeVar("E", bound=StrEnum)


def wrong(path: str, problem: str) -> CorrectInput:
    """Make the error that says what is wrong at ``path``."""
    return CorrectInput(f"{path}: {problem}" if path else problem, field=path)


def _shown(value: object) -> str:
    """Show a value in an error without repeating something huge or deep."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if -(10**18) < value < 10**18 else "a number that long"
    return "an object" if isinstance(value, dict) else "a list"


class Fields:
    """One JSON object being read. Every method raises CorrectInput with the field's path."""

    __slots__ = ("_path", "_taken", "_values")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise wrong(path, f"must be an object, not {_shown(value)}")
        self._values: dict[str, object] = value
        self._path = path
        self._taken: set[str] = set()

    def path(self, name: str) -> str:
        """Give the path of a field of this object."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> object:
        """Give a field's raw value, which must be there."""
        self._taken.add(name)
        try:
            return self._values[name]
        except KeyError:
            raise wrong(self.path(name), "is missing") from None

    def given(self, name: str) -> bool:
        """Say whether a field is there and not null."""
        self._taken.add(name)
        return self._values.get(name) is not None

    def done(self) -> None:
        """Refuse every field that nobody asked for."""
        for name in self._values:
            if name not in self._taken:
                raise wrong(self.path(name[:60]), "is not known here")

    def string(self, name: str) -> str:
        """Read a text as it is: what the guard itself wrote is not judged again."""
        value = self.take(name)
        if not isinstance(value, str):
            raise wrong(self.path(name), f"must be a text, not {_shown(value)}")
        return value

    def text(self, name: str, *, longest: int = LONGEST_TEXT, shortest: int = 0) -> str:
        """Read one line of printable text."""
        value = self.string(name)
        if not shortest <= len(value) <= longest:
            raise wrong(self.path(name), f"must have {shortest} to {longest} characters")
        # Half surrogates and control characters break logs, terminals and databases.
        if not value.isprintable():
            raise wrong(self.path(name), "must be one line of printable characters")
        return value

    def string_or_none(self, name: str) -> str | None:
        return self.string(name) if self.given(name) else None

    def name(self, name: str) -> str:
        """Read an id as people write it into the site file."""
        value = self.take(name)
        return as_name(value, self.path(name))

    def name_or_none(self, name: str) -> str | None:
        return self.name(name) if self.given(name) else None

    def token(self, name: str) -> str:
        """Read an id that a program made: 1 to 128 visible ASCII characters."""
        value = self.take(name)
        if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
            raise wrong(self.path(name), "must be 1 to 128 visible ASCII characters")
        return value

    def token_or_none(self, name: str) -> str | None:
        return self.token(name) if self.given(name) else None

    def integer(self, name: str, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        value = self.take(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(self.path(name), f"must be a whole number, not {_shown(value)}")
        if not low <= value <= high:
            raise wrong(self.path(name), f"must be from {low} to {high}, not {_shown(value)}")
        return value

    def integer_or_none(self, name: str, low: int = -(2**63), high: int = 2**63 - 1) -> int | None:
        return self.integer(name, low, high) if self.given(name) else None

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Read a finite number."""
        value = self.take(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise wrong(self.path(name), f"must be a number, not {_shown(value)}")
        if not low <= value <= high or not -1e300 < value < 1e300:
            bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else "finite"
            raise wrong(self.path(name), f"must be {bounds}, not {_shown(value)}")
        return float(value)

    def number_or_none(
        self, name: str, low: float = -math.inf, high: float = math.inf
    ) -> float | None:
        return self.number(name, low, high) if self.given(name) else None

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise wrong(self.path(name), f"must be true or false, not {_shown(value)}")
        return value

    def boolean_or(self, name: str, default: bool) -> bool:
        return self.boolean(name) if self.given(name) else default

    def boolean_or_none(self, name: str) -> bool | None:
        return self.boolean(name) if self.given(name) else None

    def word(self, name: str, words: type[E]) -> E:
        """Read one of the words of an enumeration."""
        value = self.take(name)
        if not isinstance(value, str) or value not in words.__members__.values():
            known = ", ".join(words)
            raise wrong(self.path(name), f"must be one of {known}, not {_shown(value)}")
        return words(value)

    def array(self, name: str, most: int) -> list[object]:
        """Read a list of at most ``most`` values."""
        value = self.take(name)
        if not isinstance(value, list):
            raise wrong(self.path(name), f"must be a list, not {_shown(value)}")
        if len(value) > most:
            raise wrong(self.path(name), f"must have at most {most} entries")
        return value

    def names(self, name: str, most: int) -> tuple[str, ...]:
        """Read a list of ids as people write them."""
        path = self.path(name)
        return tuple(
            as_name(value, f"{path}[{index}]") for index, value in enumerate(self.array(name, most))
        )

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """Read a list of texts."""
        path = self.path(name)
        values = self.array(name, most)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise wrong(f"{path}[{index}]", f"must be a text, not {_shown(value)}")
        return tuple(str(value) for value in values)

    def mapping(self, name: str) -> dict[str, Any]:
        """Read an object whose fields are not ours to judge."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise wrong(self.path(name), f"must be an object, not {_shown(value)}")
        return value

    def inner(self, name: str) -> Fields:
        """Read an object with fields of its own."""
        return Fields(self.take(name), self.path(name))

    def inner_or_none(self, name: str) -> Fields | None:
        return self.inner(name) if self.given(name) else None


def as_name(value: object, path: str) -> str:
    """Check one id as people write it into the site file."""
    if not isinstance(value, str) or not is_name(value):
        raise wrong(path, "must be an id: lower-case letters, digits, '.', '_' or '-', at most 63")
    return value
