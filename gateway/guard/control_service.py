"""What the control socket needs of the guard."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, Union

from gateway.link.messages import OutletView
from gateway.link.requests import (
    BusesAnswer,
    CircuitsAnswer,
    HelloAnswer,
    InterlocksAnswer,
    LimitsRequest,
    OnAnswer,
    OnRequest,
    RenewAnswer,
    RenewRequest,
    SnapshotPage,
    SnapshotRequest,
    TargetRequest,
    Verdict,
)

T = TypeVar("T")
Soon: TypeAlias = Union[T, Awaitable[T]]  # noqa: UP007 - a generic alias needs it
"""An answer at once, or one that waits for something, like the disk."""


class GuardService(Protocol):
    """The guard as the socket sees it.

    Every method may raise the errors of ``gateway.core.errors``; they reach the client.
    Whatever does not wait returns within a fraction of a millisecond: it runs in the loop
    that switches outlets off.
    """

    def hello(self) -> HelloAnswer: ...

    def on(self, request: OnRequest) -> Awaitable[OnAnswer]: ...

    def renew(self, request: RenewRequest) -> Soon[RenewAnswer]: ...

    def off(self, request: TargetRequest) -> Soon[Sequence[Verdict]]: ...

    def reset(self, request: TargetRequest) -> Soon[Sequence[Verdict]]: ...

    def lock(self, request: TargetRequest) -> Soon[Sequence[Verdict]]: ...

    def unlock(self, request: TargetRequest) -> Soon[Sequence[Verdict]]: ...

    def limits(self, request: LimitsRequest) -> dict[str, Any]:
        """Give ``{outlet, limits, origin}``, JSON values only."""
        ...

    def snapshot(self, request: SnapshotRequest) -> SnapshotPage:
        """Give at most ``limit`` outlets; asked for at most 25 at a time."""
        ...

    def changed(self, most: int) -> Sequence[OutletView]:
        """Give and forget up to ``most`` outlets that changed since this was last asked."""
        ...

    def buses(self) -> BusesAnswer: ...

    def circuits(self) -> Awaitable[CircuitsAnswer]: ...

    def interlocks(self) -> InterlocksAnswer: ...

    def metrics(self) -> Awaitable[str]:
        """Give the text exposition of Prometheus."""
        ...
