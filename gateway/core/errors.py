"""Errors, named by what the caller must do about them. Each says so in one line."""

from __future__ import annotations

from dataclasses import dataclass


class PilegateError(Exception):
    """Any error that a person may meet: what happened, where, and what to do."""


class CorrectInput(PilegateError):
    """The request itself is wrong: correct the named field and send it again."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotKnown(PilegateError):
    """Nothing of that name exists: look up what does."""


class Refused(PilegateError):
    """Understood, and not allowed in the present state: change the state first.

    ``code`` is a stable word for programs (``latched``, ``locked``, ``in_use``, …).
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotAllowed(PilegateError):
    """This caller may not do that: use another identity."""


class TryLater(PilegateError):
    """Nothing is wrong with the request: repeat it after ``retry_after_s``."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FixInstallation(PilegateError):
    """The machine, a file, a port or a database needs a person: nothing retries by itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file a person wrote."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class CorrectFiles(PilegateError):
    """Files that people wrote are wrong; holds every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
