"""What Prometheus is told about serve."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The registry of one serve process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="pilegate_serve", registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Histogram(
            "pilegate_http_request_seconds",
            "Time until an answer began, by route, method and status.",
            ("route", "method", "status"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a value that is read when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def histogram(self, name: str, text: str) -> Histogram:
        """Show how values in seconds are spread."""
        return Histogram(name, text, buckets=BUCKETS_S, registry=self.registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, method, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Write everything in Prometheus's text format."""
        return generate_latest(self.registry)
