"""A layout: every decision in which the ways to lay out an image differ, as one value that format and finish ask.

A decision that only one layout takes so far is an enum of one member: where another is added, mypy lists the places
that have to know it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ...units import BLOCK_SIZE
from ..format.checksum import Checksums
from ..format.features import Features


class ReservedDescriptors(enum.Enum):
    """How many blocks after the superblock are kept for group descriptors."""

    FOR_MAXIMUM_SIZE = enum.auto()  # those of a disk of the maximum size; what is not used is free


class Backups(enum.Enum):
    """Copies of superblock and descriptors."""

    NONE = enum.auto()


class Tables(enum.Enum):
    """Where inode tables and bitmaps are."""

    AFTER_DATA = enum.auto()  # the tables of all groups, then for each group its two bitmaps


class GroupChoice(enum.Enum):
    """How many groups there are, and inodes in each."""

    FEWEST = enum.auto()  # the fewest groups that will do, and of those the fewest inodes


class UnusedInodeBits(enum.Enum):
    """Bits of an inode bitmap after the last inode of the group."""

    CLEAR = enum.auto()  # 0, where e2fsck wants 1 (B0)


class BlockUnit(enum.Enum):
    """What i_blocks counts."""

    BLOCKS = enum.auto()  # blocks of the file system, by the flag huge_file of each inode


class DirectoryForm(enum.Enum):
    """How directories are laid out."""

    # Linear; each block ends with an empty entry that takes the rest, of 12 bytes at least.
    CLOSED_BY_EMPTY_ENTRIES = enum.auto()


class XattrPlacing(enum.Enum):
    """Where the xattrs of an inode go."""

    # In the order of their full names into the inode while there is room, else into one block.
    FIRST_FIT = enum.auto()


class LinksBeyond(enum.Enum):
    """A directory that has more links than an inode can count (B23)."""

    ONE = enum.auto()  # it has 1, and the image the feature dir_nlink


@dataclass(frozen=True, slots=True)
class Layout:
    """The decisions of one layout.

    Attributes:
        name: a part of what a unique id is derived from.
        features: of every image; inline data and dir_nlink come on top where an image needs them.
        extra_isize: size of the fields after the first 128 bytes of an inode that are in use, in bytes.
        descriptor_len: size of a group descriptor in bytes.
        log_groups_per_flex: s_log_groups_per_flex.
        max_file_size: largest regular file in bytes.
        max_inline_size: largest regular file that goes into its inode, if that is asked for, in bytes.
        max_short_target_len: longest symlink target in the inode, in bytes.
        max_links: most links of an inode.
    """

    name: str
    features: Features
    uuid: bytes
    checksums: Checksums
    extra_isize: int
    descriptor_len: int
    log_groups_per_flex: int
    reserved_descriptors: ReservedDescriptors
    backups: Backups
    tables: Tables
    group_choice: GroupChoice
    unused_inode_bits: UnusedInodeBits
    block_unit: BlockUnit
    directories: DirectoryForm
    xattr_placing: XattrPlacing
    max_file_size: int
    max_inline_size: int
    max_short_target_len: int
    max_links: int
    links_beyond: LinksBeyond

    @property
    def descriptors_per_block(self) -> int:
        """Group descriptors in a block."""
        return BLOCK_SIZE // self.descriptor_len
