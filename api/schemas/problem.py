"""Errors as RFC 9457 problems."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from api.schemas.common import Output, example


class FieldError(Output):
    """One thing that is wrong with what was sent."""

    model_config = example(
        **{"in": "body", "field": "lease.for_s", "message": "must be at least 1"}
    )

    in_: str = Field(alias="in", description="`body`, `query`, `header` or `path`.")
    field: str = Field(description="The path of the field; empty: the whole.")
    message: str = Field(description="What is wrong, for people.")


class ProblemBody(Output):
    """A problem document (RFC 9457), sent as `application/problem+json`."""

    model_config = ConfigDict(
        # What has a default is left out where there is nothing to say.
        json_schema_serialization_defaults_required=False,
        **example(
            type="urn:pilegate:problem:invalid",
            title="The request is wrong",
            status=422,
            detail="lease.for_s: must be at least 1",
            code="invalid",
            errors=[{"in": "body", "field": "lease.for_s", "message": "must be at least 1"}],
        ),
    )

    type: str = Field(description="`urn:pilegate:problem:` and the code.")
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status, again.")
    detail: str = Field(description="What happened here and what to do, in one line.")
    code: str = Field(description="A stable word for programs.")
    errors: list[FieldError] = Field(
        default=[], description="Only with status 422: everything that is wrong, at once."
    )
    retry_after_s: float | None = Field(
        default=None, description="Only with status 503: when to try again, in seconds."
    )
