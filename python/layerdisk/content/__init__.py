"""Content stores: blobs by digest, and ingests that become blobs.

Source: containerd core/content; OCI image-spec, image-layout.md.
"""

from __future__ import annotations

from .ingest import LocalWriter
from .local import LocalStore, open_regular
from .protocols import ContentReader, ContentStore, Info, InfoStore, Ingester, IngestWriter, Provider, Status
from .verifier import Verifier

__all__ = [
    "ContentReader",
    "ContentStore",
    "Info",
    "InfoStore",
    "IngestWriter",
    "Ingester",
    "LocalStore",
    "LocalWriter",
    "Provider",
    "Status",
    "Verifier",
    "open_regular",
]
