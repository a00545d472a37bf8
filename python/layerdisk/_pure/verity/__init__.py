"""dm-verity: a tree of hashes over the blocks of a device. Sees bytes and a length only.

Source: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, docs/on-disk-format (hash type 1).
"""

from __future__ import annotations

from typing import NamedTuple

from ...errdefs import InvalidArgument

# Limits of a block's size in bytes. Source: cryptsetup, VERITY_BLOCK_SIZE_OK.
MIN_BLOCK_SIZE = 512
MAX_BLOCK_SIZE = 512 * 1024
# Limit of the salt in bytes: its field in the superblock.
MAX_SALT_LEN = 256
# Bytes of a digest, which are also those of its place in a hash block: both lengths are powers of two.
DIGEST_LEN = {"sha256": 32, "sha512": 64}


class Parameters(NamedTuple):
    """What the hashes of a device depend on, apart from its data.

    Attributes:
        level_for_one_block: hcsshim's tree of one data block has a level that dm-verity does not know (B20).
    """

    algorithm: str
    data_block_size: int
    hash_block_size: int
    salt: bytes
    level_for_one_block: bool = False

    @property
    def digest_len(self) -> int:
        """Bytes of a digest."""
        return DIGEST_LEN[self.algorithm]

    @property
    def per_hash_block(self) -> int:
        """Digests in a hash block: 8 at least."""
        return self.hash_block_size // self.digest_len

    def level_blocks(self, data_blocks: int) -> list[int]:
        """Return the hash blocks of each level, from the one over the data up to the top; none for one data block."""
        levels: list[int] = []
        below = data_blocks
        while below > 1 or (not levels and self.level_for_one_block):
            below = -(-below // self.per_hash_block)
            levels.append(below)
        return levels

    def tree_size(self, data_blocks: int) -> int:
        """Return the bytes of all levels."""
        return sum(self.level_blocks(data_blocks)) * self.hash_block_size


def parameters(algorithm: str, data_block_size: int, hash_block_size: int, salt: bytes) -> Parameters:
    """Return checked parameters."""
    if len(salt) > MAX_SALT_LEN:
        raise InvalidArgument(f"the salt has {len(salt)} bytes: it must have 0 to {MAX_SALT_LEN}")
    if algorithm not in DIGEST_LEN:
        raise InvalidArgument(f'the hash algorithm is {_quoted(algorithm)}: it must be "sha256" or "sha512"')
    _check_block_size("data", data_block_size)
    _check_block_size("hash", hash_block_size)
    return Parameters(algorithm, data_block_size, hash_block_size, salt)


def _check_block_size(kind: str, size: int) -> None:
    if size & (size - 1) or not MIN_BLOCK_SIZE <= size <= MAX_BLOCK_SIZE:
        raise InvalidArgument(
            f"the {kind} block size is {size}:"
            f" it must be a power of two, {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
