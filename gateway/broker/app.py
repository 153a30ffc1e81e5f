"""Composition root of the broker's process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import warnings

from gateway.broker.login import Logins
from gateway.config import BrokerSettings
from gateway.core.errors import FixInstallation
from gateway.runtime.sd_notify import notify, watchdog

log = logging.getLogger(__name__)

STOP_S = 5.0

SESSION_KEPT_S = 3_600
"""How long the session of a client that is away is kept."""


async def run_broker(settings: BrokerSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises FixInstallation when the port can't be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python, from inside the library
        from gateway.broker.bounded import BoundedBroker  # noqa: PLC0415 - slow to import

    _quiet_library()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    logins = None if settings.users_file is None else Logins(settings.users_file)
    broker = BoundedBroker(_config(settings), logins)
    try:
        await broker.start()
    except Exception as err:
        raise _not_started(settings, err) from err
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    log.info("listening on %s:%d", host, broker.port)
    notify("READY=1")
    alive = asyncio.create_task(watchdog(), name="watchdog")
    try:
        await stop.wait()
    finally:
        notify("STOPPING=1")
        alive.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await alive
        try:
            async with asyncio.timeout(STOP_S):
                await broker.shutdown()
        except TimeoutError:
            log.warning("clients did not leave within %g s", STOP_S)
    log.info("ended")


def _config(settings: BrokerSettings) -> dict[str, object]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    listener: dict[str, object] = {"type": "tcp", "bind": f"{host}:{settings.port}"}
    if settings.tls is not None:
        files = {"certfile": str(settings.tls.cert), "keyfile": str(settings.tls.key)}
        listener |= {"ssl": True, **files}
    return {
        "listeners": {"default": listener},
        "session_expiry_interval": SESSION_KEPT_S,
        "plugins": {},
    }


def _not_started(settings: BrokerSettings, error: Exception) -> FixInstallation:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return FixInstallation(
        f"the broker can't listen on {settings.host}:{settings.port} ({why}): end what uses it,"
        " or change broker.listen"
    )


def _quiet_library() -> None:
    """Leave out what the library says of every client and every packet; we say what matters."""
    for name in ("amqtt", "transitions", "transitions.core", "websockets"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
