"""Commands: written down first, then sent; the verdict is what samples show."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response, status

from api.bodies import StrictRoute
from api.dependencies import NoQuery, Operator, Serving, Viewer
from api.problems import responses
from api.schemas.commands import (
    EXAMPLES,
    CommandIn,
    CommandOut,
    CommandPage,
    CommandQuery,
    LeaseTermsOut,
    OutletVerdict,
    TargetOut,
    WaitQuery,
)
from gateway.core.errors import CorrectInput, PilegateError
from gateway.link.messages import Target, TargetKind
from gateway.serve.commands import Command, LeaseTerms, Order
from gateway.serve.course import OPEN, CommandAction, CommandState

router = APIRouter(tags=["commands"], route_class=StrictRoute)

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,128}$",
        description="Made by the client, one for each thing it wants done; needed for `on`. Sent "
        "again with the same key and body, the command is not given again.",
        examples=["order-4711"],
    ),
]

_LOCATION = {"Location": {"description": "Where the command is.", "schema": {"type": "string"}}}


@router.post(
    "/v1/commands",
    operation_id="giveCommand",
    summary="Switch outlets on or off, release a latch, lock or unlock",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        **responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
        200: {
            "model": CommandOut,
            "description": "The verdict, which was waited for.",
            "headers": _LOCATION,
        },
        202: {"description": "Written down, and on its way.", "headers": _LOCATION},
    },
)
async def give_command(
    *,
    services: Serving,
    caller: Operator,
    body: Annotated[CommandIn, Body(openapi_examples=EXAMPLES)],
    query: Annotated[WaitQuery, Query()],
    response: Response,
    key: Key = None,
) -> CommandOut:
    """Write the intent down, then send it, so that no answer is a guess.

    An `on` is a lease: the guard ends it when its time, energy or power limit is reached,
    also when everything else is down. It is never repeated after a restart. Whether samples
    have shown it is told by `GET /v1/commands/{id}`, by the events, or here with `wait`.
    """
    order = _order(body)
    if order.action is CommandAction.ON and key is None:
        raise CorrectInput(
            "is needed for an `on`, so that it can be sent again without danger",
            field="header:Idempotency-Key",
        )
    command = await services.commands.submit(order, caller, key)
    if query.wait is not None:
        # It is written down: whatever happens to the waiting, the answer has its id.
        with suppress(PilegateError):
            command = await services.commands.wait(command.id, query.wait)
        if command.state not in OPEN:
            response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/v1/commands/{command.id}"
    return _out(command)


@router.get(
    "/v1/commands",
    operation_id="listCommands",
    summary="List commands, newest first",
    responses=responses(401, 403, 422, 503),
)
async def list_commands(
    services: Serving, _caller: Viewer, query: Annotated[CommandQuery, Query()]
) -> CommandPage:
    """Who wanted what, when and why, and what became of it."""
    target = None
    if query.target is not None:
        kind, _, target_id = query.target.partition("/")
        target = Target(TargetKind(kind), target_id)
    commands, following = await services.commands.page(
        before=query.cursor,
        limit=query.limit,
        target=target,
        state=None if query.state is None else CommandState(query.state),
    )
    return CommandPage(commands=[_out(command) for command in commands], next=following)


@router.get(
    "/v1/commands/{command}",
    operation_id="getCommand",
    summary="Show one command and its verdict",
    responses=responses(401, 403, 404, 422, 503),
    dependencies=[NoQuery],
)
async def get_command(
    services: Serving,
    _caller: Viewer,
    command: Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="The command's id.")],
) -> CommandOut:
    """One command and what has become of it."""
    return _out(await services.commands.get(command))


def _order(body: CommandIn) -> Order:
    """Read a body whose parts are each right, and check that they fit each other."""
    action = CommandAction(body.action)
    if (action is CommandAction.ON) != (body.lease is not None):
        raise CorrectInput(
            "is missing: an `on` needs a lease"
            if body.lease is None
            else f"goes with `on` only, not with `{action}`",
            field="body:lease",
        )
    if body.on_site and action is not CommandAction.RESET:
        raise CorrectInput(f"goes with `reset` only, not with `{action}`", field="body:on_site")
    lease = None
    if body.lease is not None:
        energy_wh = body.lease.energy_wh
        lease = LeaseTerms(
            for_s=body.lease.for_s,
            energy_mwh=None if energy_wh is None else round(energy_wh * 1000),
            power_w=body.lease.power_w,
        )
    return Order(
        action=action,
        target=Target(TargetKind(body.target.kind), body.target.id),
        reason=body.reason,
        lease=lease,
        on_site=body.on_site,
    )


def _out(command: Command) -> CommandOut:
    order = command.order
    lease = None
    if order.lease is not None:
        energy_mwh = order.lease.energy_mwh
        lease = LeaseTermsOut(
            for_s=order.lease.for_s,
            energy_wh=None if energy_mwh is None else energy_mwh / 1000,
            power_w=order.lease.power_w,
        )
    return CommandOut(
        id=command.id,
        action=order.action.value,
        target=TargetOut(kind=order.target.kind.value, id=order.target.id),
        lease=lease,
        on_site=order.on_site,
        reason=order.reason,
        actor=command.actor,
        state=command.state.value,
        code=command.code,
        message=command.message,
        outlets=[
            OutletVerdict(
                outlet=outlet,
                result=part.result.value,
                code=part.code,
                message=part.message,
                lease_id=part.lease_id,
                until_utc_ms=part.until_utc_ms,
            )
            for outlet, part in command.outlets.items()
        ],
        created_utc_ms=command.created_utc_ms,
        answered_utc_ms=command.answered_utc_ms,
        finished_utc_ms=command.finished_utc_ms,
    )
