"""What a bus shows a broker, read from its files."""

from __future__ import annotations

import ssl

from gateway.config import MqttBus
from gateway.core.errors import FixInstallation


def credentials(bus: MqttBus) -> tuple[str | None, ssl.SSLContext | None]:
    """Read password and TLS files. Raises FixInstallation."""
    return _password(bus), _tls(bus)


def _password(bus: MqttBus) -> str | None:
    if bus.password_file is None:
        return None
    try:
        with bus.password_file.open(encoding="utf-8") as file:
            return file.readline(1_000).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        raise FixInstallation(f"can't read password_file {bus.password_file}: {err}") from err


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls(bus: MqttBus) -> ssl.SSLContext | None:
    if bus.tls is None:
        return None
    try:
        context = ssl.create_default_context(cafile=bus.tls.ca)
        if bus.tls.cert is not None:
            context.load_cert_chain(bus.tls.cert, bus.tls.key)
        context.sslsocket_class = _TidySocket
    except OSError as err:
        raise FixInstallation(f"bus {bus.id}: can't use its tls files: {err}") from err
    return context
