"""Hash trees of data that is there already: made, stored, found and read."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeAlias

from .._core import choose
from ..errdefs import (
    AlreadyExists,
    InvalidArgument,
    NotReproducible,
    NotVeritySuperBlock,
    RootHashReadFailure,
    SuperBlockParseFailure,
    SuperBlockReadFailure,
)
from ..io import OutputFile, open_sink
from .info import VerityInfo
from .parameters import Verity
from .places import NO_END, MemorySink, ObjectPlace, Spill, data_ranges, opened, place, size_of

Image: TypeAlias = str | os.PathLike[str] | BinaryIO
Progress: TypeAlias = Callable[[int], object]

SUPERBLOCK_LEN = 512
_SIGNATURE = b"verity\0\0"
_VHD_FOOTER_LEN = 512
_VHD_COOKIE = b"conectix"
_VHD_UNIQUE_ID = slice(68, 84)
_EXT4_SUPERBLOCK_END = 2048
_LARGEST_BLOCK = 524288


def merkle_tree(
    reader: Any, *, verity: Verity | None = None, reproduce_defects: bool = False, core: str | None = None
) -> bytes:
    """Return the hash tree of all that a reader gives, top level first.

    Args:
        reader: binary file object, read from its position.
        verity: parameters; by default hcsshim's.
        reproduce_defects: give the tree of a single block the level that hcsshim gives it (B20).
        core: "rust" or "python"; by default the best there is.

    Raises:
        InvalidArgument: there is no data, or it ends within a block.
        NotReproducible: with reproduce_defects, there is no data: hcsshim does not come to an end.

    Source: hcsshim, ext4/dmverity (MerkleTree).
    """
    sink = MemorySink()
    bare = (verity or Verity())._asdict() | {"superblock": False}
    _hash_reader(reader, Verity(**bare), sink, reproduce_defects, core)
    return bytes(sink.data)


def root_hash(tree: bytes, *, verity: Verity | None = None) -> bytes:
    """Return the digest of a tree's top block.

    Raises:
        InvalidArgument: the tree has less than a block.

    Source: hcsshim, ext4/dmverity (RootHash).
    """
    verity = verity or Verity()
    if len(tree) < verity.hash_block_size:
        raise InvalidArgument(
            f"the tree has {len(tree)} bytes: it must have a hash block of {verity.hash_block_size}"
        )
    import hashlib

    return hashlib.new(verity.algorithm, verity.salt + tree[: verity.hash_block_size]).digest()


def superblock(
    size: int, *, verity: Verity | None = None, root_hash: bytes = b"", core: str | None = None
) -> bytes:
    """Return the 512 bytes of the superblock for data of a size.

    Args:
        size: of the data in bytes; a last block that is not whole counts.
        verity: parameters; by default hcsshim's.
        root_hash: from which the UUID is derived, where the parameters give none.
        core: "rust" or "python"; by default the best there is.

    Source: hcsshim, ext4/dmverity (NewDMVeritySuperblock), which takes a random UUID.
    """
    verity = verity or Verity()
    data_blocks = -(-size // verity.data_block_size)
    return choose(core)[1].verity_superblock(verity.options(), data_blocks, root_hash)


def compute_and_write_hash_device(
    reader: Any,
    writer: Any,
    *,
    verity: Verity | None = None,
    reproduce_defects: bool = False,
    core: str | None = None,
) -> VerityInfo:
    """Write the hash device of all that a reader gives: superblock and tree.

    Args:
        reader: binary file object, read from its position.
        writer: seekable binary file object, which is emptied first.
        verity: parameters; by default hcsshim's.
        reproduce_defects: as in `merkle_tree`.
        core: likewise.

    Raises:
        InvalidArgument: there is no data, or it ends within a block.

    Source: hcsshim, ext4/dmverity (ComputeAndWriteHashDevice).
    """
    verity = verity or Verity()
    sink = open_sink(writer)
    with contextlib.closing(Spill()) as spill:
        stored = _hash_reader(reader, verity, sink, reproduce_defects, core, spill)
    if not isinstance(sink, int):
        sink.finish(stored["end"], False)
    return info_of(verity, stored, separate=True)


def hash_image(
    image: Image,
    *,
    verity: Verity | None = None,
    progress: Progress | None = None,
    core: str | None = None,
) -> VerityInfo:
    """Return what the hashes of an image would be, and store nothing.

    Args:
        image: path or seekable binary file object; only the file system counts of an ext4 image.
        verity: parameters; by default hcsshim's.
        progress: called with the number of bytes so far.
        core: "rust" or "python"; by default the best there is.

    Raises:
        InvalidArgument: the image is empty.
        OSError: it cannot be read.
    """
    verity = verity or Verity()
    with opened(image) as file:
        length = data_length(file)
        stored = _hash(file, length, verity, None, 0, None, progress, core)
    offset = verity.hash_offset
    stored["hash_offset"] = length + -length % verity.unit if offset is None else offset
    return info_of(verity, stored, separate=False)


def append(
    image: Image,
    *,
    hash_device: str | os.PathLike[str] | None = None,
    verity: Verity | None = None,
    progress: Progress | None = None,
    core: str | None = None,
) -> VerityInfo:
    """Store superblock and hash tree after the data of an image, or in a file of their own.

    A VHD footer stays the last, with the new size and the unique id that it had.

    Args:
        image: path, or binary file object open for reading and writing; unchanged with a hash device.
        hash_device: path of the file for the hashes, which appears only when it is complete.
        verity: parameters; by default hcsshim's.
        progress: called with the number of bytes so far.
        core: "rust" or "python"; by default the best there is.

    Raises:
        AlreadyExists: there is a superblock after the data already.
        InvalidArgument: the image is empty, or the hash offset is within the data.
        OSError: it cannot be read or written; its length is then as before.
    """
    verity = verity or Verity()
    if hash_device is not None:
        with opened(image) as file, OutputFile(hash_device) as output, contextlib.closing(Spill()) as spill:
            offset = verity.hash_offset or 0
            sink = open_sink(output.file)
            stored = _hash(file, data_length(file), verity, sink, offset, spill, progress, core)
            output.commit()
        return info_of(verity, stored, separate=True)
    with opened(image, "r+b") as file, contextlib.closing(Spill()) as spill:
        length, size = data_length(file), size_of(file)
        offset = length + -length % verity.unit if verity.hash_offset is None else verity.hash_offset
        if offset < length:
            raise InvalidArgument(f"the hash offset {offset} is within the data, which has {length} bytes")
        if find_superblock(file) is not None:
            raise AlreadyExists("there is a dm-verity superblock after the data already")
        with _restored(file, size, length):
            footer = vhd_footer(file)
            file.truncate(offset)  # in between, zeros
            where = place(file)
            stored = _hash(file, length, verity, where, offset, spill, progress, core)
            file.seek(stored["end"])
            if footer:
                file.write(choose(core)[1].vhd_footer(stored["end"], footer[_VHD_UNIQUE_ID]))
            if isinstance(where, int):
                os.fsync(where)
    return info_of(verity, stored, separate=False)


def read_dm_verity_info(
    image: Image, offset: int | None = None, *, data: Image | None = None, core: str | None = None
) -> VerityInfo:
    """Read the superblock of a verity device, and the root hash that its tree has.

    Args:
        image: path or seekable binary file object, with the data or of the hashes alone.
        offset: of the superblock in bytes; None: after an ext4 file system, or at the start of the file.
        data: the data, where it is elsewhere: only needed for a device of a single block, which has no tree.
        core: "rust" or "python"; by default the best there is.

    Raises:
        NotVeritySuperBlock: there is none.
        SuperBlockReadFailure: the file ends before.
        SuperBlockParseFailure: it cannot be right.
        RootHashReadFailure: the file ends before the tree does.

    Source: hcsshim, ext4/dmverity (ReadDMVerityInfo).
    """
    with opened(image) as file:
        if offset is None:
            offset = find_superblock(file)
            if offset is None:
                raise NotVeritySuperBlock(
                    "invalid dm-verity super-block signature: there is none after the data"
                )
        described = read_superblock(file, offset, core)
        verity = Verity(**{name: described[name] for name in Verity._fields if name in described})
        data_blocks = described["data_blocks"]
        file.seek(offset + verity.hash_block_size)
        top = _read(file, verity.hash_block_size)
        if data_blocks > 1 or offset == 0:
            if len(top) < verity.hash_block_size:
                raise RootHashReadFailure(
                    "failed to read dm-verity root hash: the file ends before the tree does"
                )
            root = root_hash(top, verity=verity)
        else:
            root = _root_of_one(file, verity, top)
        size = sum(verity.level_blocks(data_blocks)) * verity.hash_block_size
        stored = {"root": root, "data_blocks": data_blocks, "hash_offset": offset, "tree_size": size}
        return info_of(verity, stored | {"uuid": described["uuid"]}, separate=offset == 0)


def read_superblock(file: Any, offset: int, core: str | None = None) -> dict[str, Any]:
    """Return the fields of the superblock at an offset; raise as `read_dm_verity_info`."""
    file.seek(offset)
    start = _read(file, SUPERBLOCK_LEN)
    if len(start) < SUPERBLOCK_LEN:
        raise SuperBlockReadFailure(
            f"failed to read dm-verity super block: {len(start)} of {SUPERBLOCK_LEN} bytes at byte {offset}"
        )
    if not start.startswith(_SIGNATURE):
        raise NotVeritySuperBlock(f"invalid dm-verity super-block signature at byte {offset}")
    try:
        return choose(core)[1].read_verity_superblock(start)
    except InvalidArgument as error:
        raise SuperBlockParseFailure(
            f"failed to parse dm-verity super block at byte {offset}: {error}"
        ) from None


def find_superblock(file: Any) -> int | None:
    """Return the offset of the superblock after an ext4 file system, or 0 if the file starts with one."""
    length = ext4_size(file)
    candidates = [0]
    if length is not None:
        units = (1 << bits for bits in range(9, 20))
        candidates = sorted({length + -length % unit for unit in units})
    for at in candidates:
        file.seek(at)
        if _read(file, len(_SIGNATURE)) == _SIGNATURE:
            return at
    return None


def data_length(file: Any) -> int:
    """Return the bytes that are hashed: of the ext4 file system, or of the file without a VHD footer."""
    size = size_of(file)
    length = ext4_size(file)
    if length is not None and length <= size:
        return length
    return size - len(vhd_footer(file))


def vhd_footer(file: Any) -> bytes:
    """Return the VHD footer at the end of a file, or nothing."""
    size = size_of(file)
    file.seek(max(0, size - _VHD_FOOTER_LEN))
    footer = _read(file, _VHD_FOOTER_LEN)
    return footer if len(footer) == _VHD_FOOTER_LEN and footer.startswith(_VHD_COOKIE) else b""


def ext4_size(file: Any) -> int | None:
    """Return the size of the ext4 file system at the start of a file; None if there is none."""
    file.seek(0)
    start = _read(file, _EXT4_SUPERBLOCK_END)
    if start[1080:1082] != b"\x53\xef":
        return None

    def number(at: int) -> int:
        return int.from_bytes(start[1024 + at : 1028 + at], "little")

    log_block_size = number(0x18)
    if log_block_size > 6:
        return None
    high = number(0x150) if number(0x60) & 0x80 else 0  # s_blocks_count_hi counts with the feature 64bit
    return (number(4) + (high << 32)) * (1024 << log_block_size)


def _hash_reader(
    reader: Any,
    verity: Verity,
    sink: Any,
    reproduce_defects: bool,
    core: str | None,
    spill: Spill | None = None,
) -> dict[str, Any]:
    """Hash all that a reader gives, from its position on."""
    end = 0

    def reached(position: int) -> None:
        nonlocal end
        end = position

    source = _FromHere(reader)
    options = verity.options(sink=sink, spill=spill or Spill(), level_for_one_block=reproduce_defects)
    try:
        stored = choose(core)[1].verity_build(source, None, [(0, NO_END)], options, 0, reached)
    except InvalidArgument as error:
        if end == 0 and reproduce_defects:
            raise NotReproducible(
                "hcsshim does not come to an end where there is no data", code="B20"
            ) from error
        raise
    if end % verity.data_block_size:
        raise InvalidArgument(
            f"the data ends within a block: it has {end} bytes, and blocks have {verity.data_block_size}"
        )
    return stored


class _FromHere:
    """A reader from its position on, in order."""

    def __init__(self, reader: Any) -> None:
        self._read = reader.read
        self._at = 0

    def read_at(self, offset: int, size: int) -> bytes:
        assert offset == self._at
        pieces = []
        while size > 0 and (piece := self._read(size)):
            pieces.append(bytes(piece))
            size -= len(piece)
            self._at += len(piece)
        return b"".join(pieces)


def _hash(
    file: Any,
    length: int,
    verity: Verity,
    sink: Any,
    offset: int,
    spill: Spill | None,
    progress: Progress | None,
    core: str | None,
) -> dict[str, Any]:
    options = verity.options(sink=sink, spill=spill)
    ranges = data_ranges(file, 0, length)
    return choose(core)[1].verity_build(place(file), length, ranges, options, offset, progress)


def info_of(verity: Verity, stored: dict[str, Any], *, separate: bool) -> VerityInfo:
    """Return what a core says that it stored."""
    return VerityInfo(
        root_digest=stored["root"].hex(),
        data_blocks=stored["data_blocks"],
        hash_offset=stored["hash_offset"],
        super_block=verity.superblock,
        salt=verity.salt.hex(),
        algorithm=verity.algorithm,
        data_block_size=verity.data_block_size,
        hash_block_size=verity.hash_block_size,
        tree_size=stored["tree_size"],
        uuid=str(uuid.UUID(bytes=stored["uuid"])) if verity.superblock else "",
        separate=separate,
    )


def _root_of_one(file: Any, verity: Verity, top: bytes) -> bytes:
    """Return the root of a single block: its digest, or that of the level which hcsshim adds (B20)."""
    import hashlib

    file.seek(0)
    block = _read(file, verity.data_block_size)
    digest = hashlib.new(verity.algorithm, verity.salt + block).digest()
    if top == digest.ljust(verity.hash_block_size, b"\0"):
        return root_hash(top, verity=verity)
    return digest


@contextlib.contextmanager
def _restored(file: Any, size: int, length: int) -> Iterator[None]:
    """Bring a file back to its size and to what followed its data, if what is done inside fails."""
    file.seek(length)
    after = _read(file, min(size - length, _LARGEST_BLOCK))
    if size - length > _LARGEST_BLOCK:
        raise InvalidArgument(f"{size - length} bytes follow the data: a VHD footer is all that may")
    try:
        yield
    except BaseException:
        file.truncate(length)
        file.seek(length)
        file.write(after)
        raise


def _read(file: Any, size: int) -> bytes:
    return ObjectPlace(file).read_at(file.tell(), size)
