"""The way from a blob of any layer media type to the plain tar: a chain of stream processors.

Each processor takes a stream of one media type and returns one of another, until it is a plain OCI layer tar.

Source: containerd core/diff.
"""

from __future__ import annotations

from ..cancel import Cancel, Cancellation
from ..decompress import decompress
from ..io import Readable
from .chain import PROCESSORS, Decompressor, Payload, Processor, Stream, open_plain_tar
from .ocicrypt import decryption_payloads, ocicrypt_decoders, with_decryption
from .options import (
    ApplyConfig,
    ApplyOpt,
    with_blob_check,
    with_blob_progress,
    with_cancel,
    with_diff_id,
    with_payloads,
    with_progress,
    with_sync_fs,
)
from .program import BinaryProcessor

__all__ = [
    "PROCESSORS",
    "ApplyConfig",
    "ApplyOpt",
    "BinaryProcessor",
    "Cancel",
    "Cancellation",
    "Decompressor",
    "Payload",
    "Processor",
    "Readable",
    "Stream",
    "decompress",
    "decryption_payloads",
    "ocicrypt_decoders",
    "open_plain_tar",
    "with_blob_check",
    "with_blob_progress",
    "with_cancel",
    "with_decryption",
    "with_diff_id",
    "with_payloads",
    "with_progress",
    "with_sync_fs",
]
