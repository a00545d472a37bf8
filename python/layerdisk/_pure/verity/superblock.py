"""The superblock: 512 bytes at the start of the hash device, or before the tree, in a hash block of its own.

Source: cryptsetup, lib/verity/verity.c (struct verity_sb).
"""

from __future__ import annotations

import struct
import uuid as _uuid
from typing import NamedTuple

from ...errdefs import InvalidArgument
from . import MAX_SALT_LEN, Parameters, parameters

LEN = 512
SIGNATURE = b"verity\0\0"
_VERSION = 1
# Salt before the block; 0, Chrome OS's, has it after.
_HASH_TYPE = 1
# Version 5 UUIDs of devices are made in this name space.
_NAMESPACE = _uuid.uuid5(_uuid.NAMESPACE_URL, "https://layerdisk.dev/verity-uuid")

# signature, version, hash_type, uuid, algorithm, data_block_size, hash_block_size, data_blocks, salt_size, padding,
# salt, reserved
_FORMAT = struct.Struct("<8sII16s32sIIQH6s256s168s")


class Described(NamedTuple):
    """What a superblock says."""

    parameters: Parameters
    data_blocks: int
    uuid: bytes


def encode(params: Parameters, data_blocks: int, uuid: bytes) -> bytes:
    """Return the 512 bytes."""
    return _FORMAT.pack(
        SIGNATURE,
        _VERSION,
        _HASH_TYPE,
        uuid,
        params.algorithm.encode(),
        params.data_block_size,
        params.hash_block_size,
        data_blocks,
        len(params.salt),
        b"",
        params.salt,
        b"",
    )


def read(start: bytes) -> Described:
    """Read one; refuse what no writer of this version may have written."""
    if len(start) < LEN:
        raise _wrong(f"it has {len(start)} bytes, not {LEN}")
    fields = _FORMAT.unpack(start[:LEN])
    signature, version, hash_type, uuid, algorithm, data_block_size, hash_block_size = fields[:7]
    data_blocks, salt_size, padding, salt, reserved = fields[7:]
    if signature != SIGNATURE:
        raise _wrong('the signature is not "verity" and two zero bytes')
    for name, found, allowed in [("version", version, _VERSION), ("hash type", hash_type, _HASH_TYPE)]:
        if found != allowed:
            raise _wrong(f"the {name} is {found}: it must be {allowed}")
    if salt_size > MAX_SALT_LEN:
        raise _wrong(f"the salt size is {salt_size}: it must be 0 to {MAX_SALT_LEN}")
    name, _, rest = algorithm.partition(b"\0")
    if any(rest + salt[salt_size:] + padding + reserved):
        raise _wrong("bytes that must be zero are not")
    try:
        read_parameters = parameters(
            name.decode("utf-8", "replace"), data_block_size, hash_block_size, salt[:salt_size]
        )
    except InvalidArgument as error:
        raise _wrong(str(error)) from None
    return Described(read_parameters, data_blocks, uuid)


def _wrong(what: str) -> InvalidArgument:
    return InvalidArgument(f"dm-verity superblock: {what}")


def uuid(params: Parameters, data_blocks: int, root: bytes) -> bytes:
    """Return a UUID that is the same for the same content."""
    content = (
        f"{params.algorithm} data={params.data_block_size} hash={params.hash_block_size}"
        f" blocks={data_blocks} salt={params.salt.hex()} root={root.hex()}"
    )
    return _uuid.uuid5(_NAMESPACE, content).bytes
