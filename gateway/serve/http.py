"""The HTTP server: bound before anything else is started, and bounded in every direction."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Generator
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.config.site import TlsFiles
from gateway.core.errors import FixInstallation

MOST_CONNECTIONS = 500
"""Half of the files that a process may usually have open."""
BACKLOG = 256
KEEP_ALIVE_S = 30
HEAD_WITHIN_S = 10.0
"""How long the head of a request may take to arrive."""
HEAD_BYTES = 16 * 1024
REST_WITHIN_S = 10.0
"""How long the rest of a body is passed over that was answered before it was read."""
READ_WITHIN_S = 20.0
"""How long a client may leave unread what is sent to it."""
STOP_WITHIN_S = 5
"""How long requests under way get when the process is asked to stop."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 for so many clients, that waits for ever for nothing a client does or leaves."""

    no_http: bytes = b""
    """The problem document that answers what is no HTTP."""
    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            # Not answered, so that many who say nothing can't take the files of all others.
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)  # which resumes writing

    def pause_writing(self) -> None:
        super().pause_writing()
        # Aborted: a transport that is only closed waits until all of it was read.
        self._stalled = self.loop.call_later(READ_WITHIN_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(REST_WITHIN_S, self._rest_too_slow, self.cycle)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, if an answer can be sent at all, and close the connection.

        uvicorn's own is plain text, and fails where the client has closed its side or is being
        answered: one line of garbage would leave a whole traceback in the log.
        """
        del msg
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [
                (b"content-type", b"application/problem+json"),
                (b"content-length", b"%d" % len(self.no_http)),
                (b"connection", b"close"),
            ]
            answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (answer, h11.Data(data=self.no_http), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_WITHIN_S, self._too_slow)

    def _rest_too_slow(self, answered: object) -> None:
        if self.cycle is answered and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()

    def _too_slow(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HttpServer(uvicorn.Server):
    """uvicorn, whose signals are handled by the process that it is a part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def split_listen(listen: str) -> tuple[str, int]:
    """Read ``host:port`` or ``[v6]:port``. Raises FixInstallation."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise FixInstallation(f"serve.listen: {listen!r} is not host:port: write 127.0.0.1:8480")
    return host, int(port)


def listen_on(host: str, port: int, *, tls: bool) -> socket.socket:
    """Bind and listen. Raises FixInstallation, in one line that says what to do."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not tls and not _is_loopback(host):
        raise FixInstallation(
            f"serve.listen: {shown} can be reached from elsewhere, and there is no TLS: "
            "set serve.tls, or listen on 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as err:
        sock.close()
        raise FixInstallation(_why_not(shown, err)) from err
    return sock


def make_server(app: ASGIApp, tls: TlsFiles | None, no_http: bytes) -> HttpServer:
    """Make the server. ``no_http`` is the problem document that answers what is no HTTP.

    Raises FixInstallation for TLS files that can't be used.
    """
    if tls is not None:
        _check_tls(tls.cert, tls.key)
    config = uvicorn.Config(
        app,
        http=type("Protocol", (BoundedProtocol,), {"no_http": no_http}),
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level="error",  # what clients do wrong is counted, not logged line by line
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
    )
    return HttpServer(config)


def _check_tls(cert: Path, key: Path) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except OSError as err:  # ssl.SSLError is one
        raise FixInstallation(
            f"serve.tls: {cert} and {key} can't be used: {err.strerror or err}: give a PEM "
            "certificate chain and its key, readable for this user"
        ) from err


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why_not(shown: str, err: OSError) -> str:
    if err.errno == errno.EADDRINUSE:
        return f"{shown} is taken: stop the other program or set serve.listen"
    if err.errno == errno.EACCES:
        return f"{shown} may not be used by this user: choose a port above 1023 in serve.listen"
    if err.errno == errno.EADDRNOTAVAIL or isinstance(err, socket.gaierror):
        return f"{shown} is no address of this machine: correct serve.listen"
    return f"{shown} can't be used: {err.strerror or err}: correct serve.listen"
