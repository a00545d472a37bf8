"""An inode on disk, 256 bytes.

Source: kernel, Documentation/filesystems/ext4/inodes.rst.
"""

from __future__ import annotations

import struct

from ...units import BlockNumber, InodeNumber
from ..layout import BlockUnit, Layout
from .checksum import InodeId
from .xattr import INODE_REGION_LEN
from .xattr import MAGIC as XATTR_MAGIC

LEN = 256
# Inodes below this number are reserved and never free.
RESERVED = 10
# Most links of an inode. Source: kernel, EXT4_LINK_MAX.
MAX_LINKS = 65000

FLAG_HUGE_FILE = 0x4_0000
FLAG_EXTENTS = 0x8_0000
FLAG_INLINE_DATA = 0x1000_0000

_STRUCT = struct.Struct(
    "<H"  # 0 i_mode
    "H"  # 2 i_uid
    "I"  # 4 i_size_lo
    "I"  # 8 i_atime
    "I"  # 12 i_ctime
    "I"  # 16 i_mtime
    "4x"  # 20 i_dtime
    "H"  # 24 i_gid
    "H"  # 26 i_links_count
    "I"  # 28 i_blocks_lo
    "I"  # 32 i_flags
    "4x"  # 36 i_version
    "60s"  # 40 i_block
    "I"  # 100 i_generation
    "I"  # 104 i_file_acl_lo
    "I"  # 108 i_size_high
    "8x"  # 112 i_obso_faddr, i_blocks_high, i_file_acl_high
    "H"  # 120 i_uid_high
    "H"  # 122 i_gid_high
    "H"  # 124 i_checksum_lo
    "2x"  # 126 i_reserved
    "H"  # 128 i_extra_isize
    "H"  # 130 i_checksum_hi
    "I"  # 132 i_ctime_extra
    "I"  # 136 i_mtime_extra
    "I"  # 140 i_atime_extra
    "I"  # 144 i_crtime
    "I"  # 148 i_crtime_extra
    "I"  # 152 xattr_magic, zero where there are no xattrs
    "100s"  # 156 xattrs
)
assert _STRUCT.size == LEN

# Where the fields end that i_extra_isize counts from, and the bytes from there that are in use here.
_ORIGINAL_LEN = 128
EXTRA_ISIZE = LEN - INODE_REGION_LEN - 4 - _ORIGINAL_LEN
assert EXTRA_ISIZE == 24
_U32_MAX = 0xFFFF_FFFF
_NO_XATTRS = bytes(INODE_REGION_LEN)
NO_BLOCKS = bytes(60)

# Largest device numbers that the encoding holds.
MAX_MAJOR = 4095
MAX_MINOR = 0xF_FFFF

# i_block of a device, in which the new encoding has the second word.
_DEVICE_BLOCK = struct.Struct("<4xI52x")


def encode(
    mode: int,
    uid: int,
    gid: int,
    size: int,
    links: int,
    blocks: int,
    flags: int,
    i_block: bytes,
    xattr_block: BlockNumber,
    atime: int,
    ctime: int,
    mtime: int,
    xattrs: bytes | None,
    number: InodeNumber,
    layout: Layout,
) -> bytes:
    """Return the bytes of an inode; what is what is said by the fields' names in the structure.

    `links` are at most MAX_LINKS, or more where hcsshim cuts them; `blocks` are those of data, extents and xattrs;
    `flags` lack the one that the unit of i_blocks needs; times are encoded, mtime being the creation time too;
    `xattrs` is their region.
    """
    match layout.block_unit:
        case BlockUnit.BLOCKS:
            flags |= FLAG_HUGE_FILE
    checksum = 0
    while True:
        packed = _STRUCT.pack(
            mode,
            uid & 0xFFFF,
            size & _U32_MAX,
            atime & _U32_MAX,
            ctime & _U32_MAX,
            mtime & _U32_MAX,
            gid & 0xFFFF,
            links & 0xFFFF,
            blocks,
            flags,
            i_block,
            0,
            xattr_block,
            size >> 32,
            uid >> 16,
            gid >> 16,
            checksum & 0xFFFF,
            layout.extra_isize,
            checksum >> 16,
            ctime >> 32,
            mtime >> 32,
            atime >> 32,
            mtime & _U32_MAX,
            mtime >> 32,
            XATTR_MAGIC if xattrs else 0,
            xattrs or _NO_XATTRS,
        )
        if layout.checksums.seed is None or checksum:
            return packed
        checksum = layout.checksums.of_inode(InodeId(number), packed) or 1 << 32


def device_block(major: int, minor: int) -> bytes:
    """Return i_block of a device. A major above 4095 runs into the minor (N5)."""
    return _DEVICE_BLOCK.pack((minor & 0xFF | major << 8 | (minor & 0xFFFF_FF00) << 12) & _U32_MAX)
