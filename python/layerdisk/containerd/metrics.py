"""Counters of the service, in Prometheus' form."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from ..errdefs import Code, InvalidArgument

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counts of one service."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._applies = Counter(
            "layerdisk_applies", "Layers applied, by how: converted or linked", ["how"], registry=registry
        )
        self._bytes = Counter("layerdisk_applied_bytes", "Bytes of plain tars applied", registry=registry)
        self._seconds = Histogram(
            "layerdisk_apply_seconds", "Seconds of an apply", buckets=_SECONDS, registry=registry
        )
        self._errors = Counter(
            "layerdisk_errors",
            "Calls that failed, by method and class",
            ["method", "code"],
            registry=registry,
        )
        self._findings = Counter("layerdisk_findings", "Findings by code", ["code"], registry=registry)
        self.running = Gauge("layerdisk_applies_running", "Applies that run now", registry=registry)

    def applied(self, how: str, size: int, seconds: float, findings: Iterable[tuple[str, int]]) -> None:
        """Count a layer: "converted" or "linked", bytes of its plain tar, seconds, and (code, count) of findings."""
        self._applies.labels(how).inc()
        self._bytes.inc(size)
        self._seconds.observe(seconds)
        for code, count in findings:
            self._findings.labels(code).inc(count)

    def failed(self, method: str, code: Code) -> None:
        """Count a call that failed."""
        self._errors.labels(method, code.name).inc()

    def serve(self, address: str) -> None:
        """Answer on HOST:PORT, on a thread of its own.

        Raises:
            InvalidArgument: the address is not of that form.
            OSError: it cannot be listened on.
        """
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise InvalidArgument(f"metrics address {address!r} must be HOST:PORT")
        start_http_server(int(port), host.strip("[]"), registry=self.registry)
