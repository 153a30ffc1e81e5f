"""Profiles named on the command line: a file, or one of those that come with the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.config import Profile
from gateway.config.explain import nearest
from gateway.config.profile_files import BUILT_IN, SUFFIX, LoadedProfile, read_any_profile
from gateway.core.errors import CorrectInput


def modbus_profile(written: str) -> Profile:
    """Load a Modbus profile by file or name. Raises CorrectInput, CorrectFiles."""
    path = Path(written)
    if not path.is_file() and not path.suffix and path.name == written:
        path = BUILT_IN / f"{written}{SUFFIX}"
        if not path.is_file():
            known = nearest(written, {each.stem for each in BUILT_IN.glob(f"*{SUFFIX}")})
            raise CorrectInput(f"no profile {written!r}: name a file, or {known}", field="profile")
    elif not path.is_file():
        raise CorrectInput(f"{path}: no such profile file", field="profile")
    loaded = read_any_profile(path)
    if not isinstance(loaded, LoadedProfile):
        raise CorrectInput(
            f"{path}: a profile of protocol mqtt: this command is for Modbus", field="profile"
        )
    return loaded.profile


def known_profiles(folders: Sequence[Path] = ()) -> list[Profile]:
    """Load the Modbus profiles of folders, and those that come with the program.

    The first of a name counts. Raises CorrectFiles.
    """
    paths: dict[str, Path] = {}
    for folder in (*folders, BUILT_IN):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            paths.setdefault(path.stem, path)
    loaded = [read_any_profile(path) for path in paths.values()]
    return [each.profile for each in loaded if isinstance(each, LoadedProfile)]
