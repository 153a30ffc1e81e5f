"""YAML with the line of every key, for messages that point at the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from gateway.core.errors import CorrectFiles, Problem

Path = tuple[str | int, ...]
MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 400_000
"""All values of a file, with each alias counted as often as it is used."""


class _Loader(yaml.SafeLoader):
    """Takes only ``true`` and ``false`` for booleans, as YAML 1.2 does: ``command: on`` is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - that is where PyYAML looks for it
        first: [
            (tag, regexp) for tag, regexp in pairs if first in "tTfF" or not tag.endswith("bool")
        ]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, and the line (from 1) of every key and item by its path."""

    file: str
    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """Line of ``path``, or of the nearest thing around it that is written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def problem(self, path: Path, message: str) -> Problem:
        """Make a problem that points at ``path``."""
        return Problem(self.file, self.line(path), dotted(path), message)


def dotted(path: Path) -> str:
    """Write a path as people do: ``steps[2].at_s``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_yaml(path: FilePath) -> Document:
    """Read a file that holds one mapping.

    Raises CorrectFiles: unreadable, not YAML, a key twice, not a mapping.
    """
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise CorrectFiles([Problem(file, None, "", f"can't be read: {err.strerror}")]) from err
    if len(raw) > MAX_FILE_BYTES:
        raise CorrectFiles([Problem(file, None, "", f"is larger than {MAX_FILE_BYTES} bytes")])
    try:
        node = yaml.compose(raw.decode(), Loader=_Loader)
        builder = _Builder(file)
        data = {} if node is None else builder.build(node, ())
    except UnicodeDecodeError as err:
        raise CorrectFiles([Problem(file, None, "", "is not UTF-8")]) from err
    except yaml.YAMLError as err:
        raise CorrectFiles([_yaml_problem(file, err)]) from err
    except RecursionError as err:
        raise CorrectFiles([Problem(file, None, "", "is nested too deeply")]) from err
    if builder.problems:
        raise CorrectFiles(builder.problems)
    if not isinstance(data, dict):
        raise CorrectFiles([Problem(file, 1, "", "must be a mapping of keys to values")])
    return Document(file, data, builder.lines)


def _yaml_problem(file: str, err: yaml.YAMLError) -> Problem:
    if isinstance(err, yaml.MarkedYAMLError):
        line = None if err.problem_mark is None else err.problem_mark.line + 1
        return Problem(file, line, "", f"is not YAML: {err.problem or err.context}")
    return Problem(file, None, "", f"is not YAML: {str(err).splitlines()[0]}")


class _Builder:
    """Builds data out of nodes, keeps lines and collects what is wrong."""

    def __init__(self, file: str) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._scalars = _Loader("")
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            message = f"more than {MAX_VALUES} values, with aliases counted"
            raise CorrectFiles([Problem(self._file, node.start_mark.line + 1, "", message)])
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalars.construct_object(node)
        if id(node) in self._open:
            self._wrong(node, path, "refers to itself")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, path, "a key must be a plain word")
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                found = self.build(value_node, path)
                merged += found if isinstance(found, list) else [found]
                continue
            if key in data:
                self._wrong(key_node, (*path, key), "stands here twice")
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            data[key] = self.build(value_node, (*path, key))
        for source in merged:
            if not isinstance(source, dict):
                self._wrong(node, path, "<< takes keys with values")
                continue
            data = {**source, **data}
        return data

    def _wrong(self, node: yaml.Node, path: Path, message: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(self._file, line, dotted(path), message))
