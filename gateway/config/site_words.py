"""Words that several parts of a site file have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.patterns import TITLE_PATTERN
from gateway.config.profile import FileModel
from gateway.core.ids import NAME_PATTERN


def _printable(path: str) -> str:
    if not path.isprintable():
        raise ValueError("a path holds no control characters")
    return path


LOCAL_HOST = "localhost"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=TITLE_PATTERN)]
ChannelNumber = Annotated[int, Field(ge=1, le=256)]
FilePath = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_printable)]


class ChannelItem(FileModel):
    """One channel of a device."""

    device: Name
    """Id of the device."""
    channel: ChannelNumber = 1
    """Channel, from 1."""
