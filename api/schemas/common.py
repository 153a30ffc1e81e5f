"""What all bodies have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from gateway.core.ids import NAME_PATTERN


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("one_line", "must be one line of printable characters")
    return text


Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        max_length=63,
        description="An id as it stands in the site file.",
        examples=["n1-3"],
    ),
]

Line = Annotated[str, AfterValidator(_one_line)]
"""One line of text: anything else breaks logs, terminals and databases."""

UtcMs = Annotated[
    int, Field(description="UTC, in milliseconds since 1970-01-01.", examples=[1_772_582_400_000])
]


class Input(BaseModel):
    """What a client sends: nothing is guessed, nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class QueryInput(BaseModel):
    """What a client writes behind the question mark; a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


def example(**values: Any) -> ConfigDict:
    """Give a model an example for the document."""
    return ConfigDict(json_schema_extra={"examples": [values]})
