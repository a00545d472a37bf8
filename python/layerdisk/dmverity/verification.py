"""A verity device against its root hash: everything is checked, and the first bad block named."""

from __future__ import annotations

import io
import os
from typing import Any

from .._core import choose
from ..errdefs import InvalidArgument, LayerdiskError, VerificationFailed
from ..vhd import read_footer
from . import owner
from .device import (
    SUPERBLOCK_LEN,
    Image,
    Progress,
    ext4_size,
    find_superblock,
    read_superblock,
    vhd_footer,
)
from .info import VerityInfo
from .parameters import Verity
from .places import ObjectPlace, data_ranges, opened, place, size_of

# A UUID that differs from the derived one in no more bits was derived and then damaged: others do not come so close.
_DAMAGED_UUID_BITS = 16
_VHD_FOOTER_LEN = 512


def verify(
    image: Image,
    root_hash: str | bytes | None = None,
    *,
    hash_device: str | os.PathLike[str] | None = None,
    verity: Verity | None = None,
    data_blocks: int | None = None,
    progress: Progress | None = None,
    core: str | None = None,
) -> VerityInfo:
    """Check data, hash tree, superblock and VHD footer of a verity device, without a kernel and without root.

    Args:
        image: path or seekable binary file object.
        root_hash: bytes or hexadecimal digits; None: only that all parts agree with each other.
        hash_device: where the hashes are, if not in the image.
        verity: where the hashes are, if the data is not an ext4 file system; parameters, if there is no superblock.
        data_blocks: that are covered, if there is no superblock; by default all of the data.
        progress: called with the number of bytes so far, of the data and then of each level.
        core: "rust" or "python"; by default the best there is.

    Returns:
        What was checked.

    Raises:
        VerificationFailed: a part is bad; it names the first such block, and the file or structure it belongs to.
        NotVeritySuperBlock, SuperBlockParseFailure, SuperBlockReadFailure: there is no superblock to go by.
        InvalidArgument: a device without a superblock, and no parameters.
        OSError: the image cannot be read.
    """
    wanted = bytes.fromhex(root_hash) if isinstance(root_hash, str) else root_hash
    with opened(image) as data:
        if hash_device is None:
            return _Check(data, data, False, wanted, verity, data_blocks, progress, core).run()
        with opened(hash_device) as hashes:
            return _Check(data, hashes, True, wanted, verity, data_blocks, progress, core).run()


class _Check:
    def __init__(
        self,
        data: Any,
        hashes: Any,
        separate: bool,
        wanted: bytes | None,
        verity: Verity | None,
        data_blocks: int | None,
        progress: Progress | None,
        core: str | None,
    ) -> None:
        self._data, self._hashes, self._separate = data, hashes, separate
        self._wanted, self._progress = wanted, progress
        self._core = choose(core)[1]
        self._uuid = b""
        self._offset = self._place(verity)
        if verity is not None and not verity.superblock:
            self.verity = verity
            self.data_blocks = data_blocks or -(-self._data_size() // verity.data_block_size)
            self._tree = self._offset
        else:
            self.verity = self._superblock(core)
            self._tree = self._offset + self.verity.hash_block_size

    def run(self) -> VerityInfo:
        verity = self.verity
        size = self.data_blocks * verity.data_block_size
        counts = verity.level_blocks(self.data_blocks)
        tree_size = sum(counts) * verity.hash_block_size
        ranges = data_ranges(self._data, 0, min(size, size_of(self._data)))
        try:
            root, bad = self._core.verity_check(
                place(self._data),
                ranges,
                verity.options(),
                self.data_blocks,
                place(self._hashes),
                self._tree,
                self._progress,
            )
        except InvalidArgument as error:
            if size_of(self._hashes) < self._tree + tree_size:
                raise VerificationFailed(f"the hash tree is cut short: {error}", "hash block") from None
            raise
        self._judge(root, bad, counts)
        if self._uuid:
            self._check_uuid(root)
        self._check_end(self._tree + tree_size)
        return self._info(root, tree_size)

    def _place(self, verity: Verity | None) -> int:
        if verity is not None and verity.hash_offset is not None:
            return verity.hash_offset
        if self._separate:
            return 0
        found = find_superblock(self._hashes)
        if found is not None:
            return found
        length = ext4_size(self._data)
        if length is None:
            raise InvalidArgument("the image is not an ext4 file system: the hash offset must be given")
        return length + -length % (verity or Verity()).unit

    def _data_size(self) -> int:
        length = ext4_size(self._data)
        if length is not None:
            return length
        return self._offset if not self._separate else size_of(self._data) - len(vhd_footer(self._data))

    def _superblock(self, core: str | None) -> Verity:
        """Read the superblock; refuse one that does not go with the data."""
        described = read_superblock(self._hashes, self._offset, core)
        verity = Verity(
            **{name: described[name] for name in Verity._fields if name in described and name != "uuid"}
        )
        self._uuid = described["uuid"]
        self.data_blocks = described["data_blocks"]
        rest = ObjectPlace(self._hashes).read_at(
            self._offset + SUPERBLOCK_LEN, verity.hash_block_size - SUPERBLOCK_LEN
        )
        if any(rest):
            raise self._bad_superblock("the bytes after it must be zero")
        length = self._data_size()
        # Data that is no file system ends up to a block before the hashes.
        slack = 0 if ext4_size(self._data) is not None or self._separate else verity.unit - 1
        if not length - slack <= self.data_blocks * verity.data_block_size < length + verity.data_block_size:
            raise self._bad_superblock(
                f"it counts {self.data_blocks} data blocks of {verity.data_block_size} bytes,"
                f" but the data has {length} bytes"
            )
        return verity

    def _judge(self, root: bytes, bad: list[tuple[int, int]], counts: list[int]) -> None:
        """Raise for the block that a reader from the top down would find bad first."""
        below = [self.data_blocks, *counts]
        if bad and all(count == below[level] for level, (count, _) in enumerate(bad)):
            raise self._bad_superblock(
                "no block has the digest that the tree has: its salt or another value is wrong"
            )
        if self._wanted is not None and root != self._wanted:
            if not counts:
                raise self._bad_data(0)
            if any(count for count, _ in bad) or not self._is_derived(root):
                raise self._bad_hash(len(counts) - 1, 0, "the root hash")
            raise VerificationFailed(
                f"the device is sound, but it is another one: its root hash is {root.hex()}, not {self._wanted.hex()}",
                "root hash",
            )
        for level in reversed(range(len(bad))):
            count, first = bad[level]
            if count and level > 0:
                raise self._bad_hash(level - 1, first, "the digest in the block above")
            if count:
                raise self._bad_data(first)

    def _is_derived(self, root: bytes) -> bool:
        return bool(self._uuid) and self._derived(root) == self._uuid

    def _derived(self, root: bytes) -> bytes:
        return self._core.verity_superblock(self.verity.options(), self.data_blocks, root)[16:32]

    def _check_uuid(self, root: bytes) -> None:
        difference = int.from_bytes(self._derived(root), "big") ^ int.from_bytes(self._uuid, "big")
        if 0 < difference.bit_count() <= _DAMAGED_UUID_BITS:
            raise self._bad_superblock(
                f"its UUID differs in {difference.bit_count()} bits from the one that belongs to the content"
            )
        if not any(self._uuid):
            raise self._bad_superblock("its UUID is zero")

    def _check_end(self, end: int) -> None:
        """Check what follows the tree: nothing, or a VHD footer."""
        file = self._hashes
        size = size_of(file)
        if size == end:
            return
        file.seek(end)
        footer = ObjectPlace(file).read_at(end, _VHD_FOOTER_LEN)
        wrong = ""
        if size != end + _VHD_FOOTER_LEN:
            if not any(footer):
                return  # a partition may be longer than what is in it
            wrong = f"{size - end} bytes follow the hash tree: a VHD footer of {_VHD_FOOTER_LEN} bytes is all that may"
        elif not footer.startswith(b"conectix"):
            wrong = 'it does not start with "conectix"'
        elif not read_footer(io.BytesIO(footer)).checksum_valid:
            wrong = "its checksum is not that of its bytes"
        elif footer[40:48] != footer[48:56] or int.from_bytes(footer[48:56], "big") != end:
            wrong = f"it says {int.from_bytes(footer[48:56], 'big')} bytes, and {end} come before it"
        if wrong:
            raise VerificationFailed(f"VHD footer at byte {end}: {wrong}", "VHD footer", offset=end)

    def _bad_superblock(self, why: str) -> VerificationFailed:
        return VerificationFailed(
            f"dm-verity superblock at byte {self._offset}: {why}", "superblock", offset=self._offset
        )

    def _bad_hash(self, level: int, block: int, other: str) -> VerificationFailed:
        counts = self.verity.level_blocks(self.data_blocks)
        offset = self._tree + (sum(counts[level + 1 :]) + block) * self.verity.hash_block_size
        message = f"hash block {block} of level {level} at byte {offset}: its digest is not {other}"
        return VerificationFailed(message, "hash block", block, level, offset)

    def _bad_data(self, block: int) -> VerificationFailed:
        offset = block * self.verity.data_block_size
        try:
            belongs = owner.owner_of(self._data, offset)
        except (LayerdiskError, OSError, ValueError, IndexError):  # what is damaged may be what tells
            belongs = None
        text = f", {belongs}" if belongs else ""
        message = f"data block {block} at byte {offset}{text}: its digest is not the one in the hash tree"
        return VerificationFailed(message, "data block", block, None, offset, belongs)

    def _info(self, root: bytes, tree_size: int) -> VerityInfo:
        import uuid

        verity = self.verity
        return VerityInfo(
            root_digest=root.hex(),
            data_blocks=self.data_blocks,
            hash_offset=self._offset,
            super_block=bool(self._uuid),
            salt=verity.salt.hex(),
            algorithm=verity.algorithm,
            data_block_size=verity.data_block_size,
            hash_block_size=verity.hash_block_size,
            tree_size=tree_size,
            uuid=str(uuid.UUID(bytes=self._uuid)) if self._uuid else "",
            separate=self._separate,
        )
