"""Content stores: blobs by digest, and ingests that become blobs.

Source: containerd core/content; OCI image-spec, image-layout.md.
"""

from __future__ import annotations

from .ingest import LocalWriter
from .local import LocalStore
from .protocols import ContentReader, ContentStore, Info, IngestWriter, Status
from .verifier import Verifier

__all__ = [
    "ContentReader",
    "ContentStore",
    "Info",
    "IngestWriter",
    "LocalStore",
    "LocalWriter",
    "Status",
    "Verifier",
]
