"""Reads profile files and finds them by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.explain import nearest, read_as, shown
from gateway.config.merge import Layer, read_layer
from gateway.config.mqtt_checks import check_plug
from gateway.config.mqtt_profile import MqttProfile
from gateway.config.profile import Profile, Space
from gateway.config.profile_checks import check_profile
from gateway.config.yaml_source import KeyPath, Source, read_yaml
from gateway.core.errors import CorrectFiles, Problem

SUFFIX = ".yaml"

_PACKAGED = Path(__file__).parent / "data" / "profiles"
_CHECKOUT = Path(__file__).parents[2] / "config" / "profiles"

BUILT_IN = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
"""Folder of the profiles that come with the program: packaged, or in a source checkout."""


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A profile with what its file says beyond it."""

    profile: Profile
    source: Source
    limits: Layer
    """What ``defaults.limits`` of the file says."""
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class LoadedPlug:
    """The profile of a plug that speaks MQTT, with what its file says beyond it."""

    profile: MqttProfile
    source: Source
    limits: Layer
    warnings: tuple[Problem, ...]


def load_profile(path: Path) -> Profile:
    """Read and check one Modbus profile. Raises CorrectFiles with every problem in it."""
    return read_profile(path).profile


def load_plug_profile(path: Path) -> MqttProfile:
    """Read and check the profile of a plug. Raises CorrectFiles with every problem in it."""
    return _read_plug(read_yaml(path), path).profile


def read_profile(path: Path) -> LoadedProfile:
    """Read and check one Modbus profile. Raises CorrectFiles with every problem in it."""
    return _read_modbus(read_yaml(path), path)


def read_any_profile(path: Path) -> LoadedProfile | LoadedPlug:
    """Read and check a profile of either protocol. Raises CorrectFiles."""
    source = read_yaml(path)
    protocol = source.data.get("protocol", "modbus")
    if protocol == "mqtt":
        return _read_plug(source, path)
    if protocol != "modbus":
        message = f"expected modbus or mqtt, not {shown(protocol)}"
        raise CorrectFiles([source.problem(("protocol",), message)])
    return _read_modbus(source, path)


def _read_plug(source: Source, path: Path) -> LoadedPlug:
    problems: list[Problem] = []
    profile: MqttProfile | None = read_as(MqttProfile, source.data, source, (), problems)
    limits = _limits(source, problems)
    if profile is None:
        raise CorrectFiles(problems)
    _check_name(profile.profile, path, source, problems)
    check_plug(profile, source, problems)
    if problems:
        raise CorrectFiles(problems)
    return LoadedPlug(profile, source, limits, ())


def _check_name(name: str, path: Path, source: Source, problems: list[Problem]) -> None:
    if name != path.stem:
        message = f"the file is called {path.name}: give both the same name"
        problems.append(source.problem(("profile",), message))


def _read_modbus(source: Source, path: Path) -> LoadedProfile:
    problems: list[Problem] = []
    written: Profile | None = read_as(Profile, source.data, source, (), problems)
    limits = _limits(source, problems)
    if written is None:
        raise CorrectFiles(problems)
    _check_name(written.profile, path, source, problems)
    profile, misplaced = _counted_from_zero(written, source)
    problems.extend(misplaced)
    warnings: list[Problem] = []
    if not misplaced:
        check_profile(profile, source, problems, warnings)
    if problems:
        raise CorrectFiles(problems)
    return LoadedProfile(profile, source, limits, tuple(warnings))


def _limits(source: Source, problems: list[Problem]) -> Layer:
    defaults = source.data.get("defaults")
    data = defaults.get("limits", {}) if isinstance(defaults, dict) else {}
    origin = f"profile/{source.data.get('profile')}"
    if not isinstance(data, dict):  # said already by the profile's own type
        data = {}
    return read_layer(data, source, ("defaults", "limits"), origin, problems)


def _counted_from_zero(profile: Profile, source: Source) -> tuple[Profile, list[Problem]]:
    """Give the profile with the addresses of the wire, whatever its file counts from."""
    base = profile.address_base
    if base == 0:
        return profile, []
    problems: list[Problem] = []

    def lower(address: int, path: KeyPath) -> int:
        if address < base:
            message = f"expected an address from {base} up: address_base is {base}"
            problems.append(source.problem(path, message))
        return address - base

    def moved(part: Any, path: KeyPath) -> Any:
        return part.model_copy(update={"address": lower(part.address, (*path, "address"))})

    changes: dict[str, Any] = {
        "address_base": 0,
        "values": {
            quantity: moved(value, ("values", quantity))
            for quantity, value in profile.values.items()
        },
        "module_limits": tuple(
            moved(limit, ("module_limits", index))
            for index, limit in enumerate(profile.module_limits)
        ),
        "never_read": {
            space: tuple(
                (lower(first, _range(space, index)), lower(last, _range(space, index)))
                for index, (first, last) in enumerate(ranges)
            )
            for space, ranges in profile.never_read.items()
        },
    }
    if profile.relay is not None:
        changes["relay"] = moved(profile.relay, ("relay",))
    if profile.watchdog is not None:
        changes["watchdog"] = moved(profile.watchdog, ("watchdog",))
    return profile.model_copy(update=changes), problems


def _range(space: Space, index: int) -> KeyPath:
    return ("never_read", space.value, index)


class ProfileFolders:
    """Finds profiles by name in the site's own folders, then in the built-in one."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = (*folders, BUILT_IN)
        self._read: dict[str, LoadedProfile | LoadedPlug | None] = {}
        self.problems: list[Problem] = []
        """What is wrong inside the profiles that were asked for."""

    def find(self, name: str) -> LoadedProfile | LoadedPlug | None:
        """Read a profile once; None when it is not there or wrong (see ``problems``)."""
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def exists(self, name: str) -> bool:
        """Say whether a file of that name is there, right or wrong."""
        return self._path(name) is not None

    def suggest(self, name: str) -> str:
        """Say which profile may be meant."""
        names = (path.stem for folder in self._folders for path in folder.glob(f"*{SUFFIX}"))
        return nearest(name, set(names))

    def hidden(self, name: str) -> bool:
        """Say whether a profile of the site hides a built-in one."""
        path = self._path(name)
        return path is not None and path.parent != BUILT_IN and _is_file(BUILT_IN, name)

    def _path(self, name: str) -> Path | None:
        for folder in self._folders:
            if _is_file(folder, name):
                return folder / f"{name}{SUFFIX}"
        return None

    def _load(self, name: str) -> LoadedProfile | LoadedPlug | None:
        path = self._path(name)
        if path is None:
            return None
        try:
            return read_any_profile(path)
        except CorrectFiles as err:
            self.problems.extend(err.problems)
            return None


def _is_file(folder: Path, name: str) -> bool:
    # os.path gives False for every error; Path.is_file raises some of them.
    return os.path.isfile(folder / f"{name}{SUFFIX}")  # noqa: PTH113
