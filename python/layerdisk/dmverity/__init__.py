"""dm-verity: hash trees, root hashes and what their consumers want to read.

The counterpart of hcsshim's package dmverity.

Example:
    >>> import io
    >>> tree = merkle_tree(io.BytesIO(bytes(8192)))
    >>> len(tree), root_hash(tree).hex()[:16]
    (4096, '05927d36681daf21')
"""

from __future__ import annotations

from ..errdefs import (
    NotVeritySuperBlock,
    RootHashReadFailure,
    SuperBlockParseFailure,
    SuperBlockReadFailure,
    VerificationFailed,
)
from .device import (
    append,
    compute_and_write_hash_device,
    hash_image,
    merkle_tree,
    read_dm_verity_info,
    root_hash,
    superblock,
)
from .info import VerityInfo, confcom_layers
from .parameters import PROFILES, Verity
from .verification import verify

__all__ = [
    "PROFILES",
    "NotVeritySuperBlock",
    "RootHashReadFailure",
    "SuperBlockParseFailure",
    "SuperBlockReadFailure",
    "VerificationFailed",
    "Verity",
    "VerityInfo",
    "append",
    "compute_and_write_hash_device",
    "confcom_layers",
    "hash_image",
    "merkle_tree",
    "read_dm_verity_info",
    "root_hash",
    "superblock",
    "verify",
]
