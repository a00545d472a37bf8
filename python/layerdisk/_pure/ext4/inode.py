"""An inode on disk, 256 bytes.

Source: kernel, Documentation/filesystems/ext4/inodes.rst.
"""

from __future__ import annotations

import struct

LEN = 256
# Bytes of i_extra_isize: the fields from there up to i_crtime_extra.
EXTRA_ISIZE = 24

FLAG_HUGE_FILE = 0x4_0000
FLAG_EXTENTS = 0x8_0000
FLAG_INLINE_DATA = 0x1000_0000

TYPE_MASK = 0xF000
TYPE_FIFO = 0x1000
TYPE_CHARACTER = 0x2000
TYPE_DIRECTORY = 0x4000
TYPE_BLOCK = 0x6000
TYPE_REGULAR = 0x8000
TYPE_SYMLINK = 0xA000

STRUCT = struct.Struct(
    "<H"  # 0 i_mode
    "H"  # 2 i_uid
    "I"  # 4 i_size_lo
    "I"  # 8 i_atime
    "I"  # 12 i_ctime
    "I"  # 16 i_mtime
    "4x"  # 20 i_dtime
    "H"  # 24 i_gid
    "H"  # 26 i_links_count
    "I"  # 28 i_blocks_lo, in file system blocks: FLAG_HUGE_FILE
    "I"  # 32 i_flags
    "4x"  # 36 i_version
    "60s"  # 40 i_block
    "4x"  # 100 i_generation
    "I"  # 104 i_file_acl_lo
    "I"  # 108 i_size_high
    "8x"  # 112 i_obso_faddr, i_blocks_high, i_file_acl_high
    "H"  # 120 i_uid_high
    "H"  # 122 i_gid_high
    "4x"  # 124 i_checksum_lo, i_reserved
    "H"  # 128 i_extra_isize
    "2x"  # 130 i_checksum_hi
    "I"  # 132 i_ctime_extra
    "I"  # 136 i_mtime_extra
    "I"  # 140 i_atime_extra
    "I"  # 144 i_crtime
    "I"  # 148 i_crtime_extra
    "I"  # 152 xattr_magic, zero where there are none
    "100s"  # 156 xattrs
)
assert STRUCT.size == LEN

# Largest device numbers that the encoding holds.
MAX_MAJOR = 4095
MAX_MINOR = 0xF_FFFF

_DEVICE_BLOCK = struct.Struct("<4xI52x")


def device_number(major: int, minor: int) -> int:
    """Give the new encoding of a device number. A major above 4095 runs into the minor (N5)."""
    return (minor & 0xFF | major << 8 | (minor & 0xFFFF_FF00) << 12) & 0xFFFF_FFFF


def device_block(number: int) -> bytes:
    """Give i_block of a device."""
    return _DEVICE_BLOCK.pack(number)
