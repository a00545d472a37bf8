"""hcsshim's layout. Source: hcsshim v0.13 and later, ext4/tar2ext4."""

from __future__ import annotations

from ..format import features, group_descriptor, inode
from ..format.checksum import Checksums
from . import (
    Backups,
    BlockUnit,
    DirectoryForm,
    GroupChoice,
    Layout,
    LinksBeyond,
    ReservedDescriptors,
    Tables,
    UnusedInodeBits,
    XattrPlacing,
)

# No journal, no checksums, no UUID, no times; all that is not data at its end.
HCSSHIM = Layout(
    name="hcsshim",
    features=(
        features.EXT_ATTR
        | features.SPARSE_SUPER2
        | features.FILETYPE
        | features.EXTENTS
        | features.FLEX_BG
        | features.LARGE_FILE
        | features.HUGE_FILE
        | features.EXTRA_ISIZE
        | features.READONLY
    ),
    uuid=bytes(16),
    checksums=Checksums(None),
    extra_isize=inode.EXTRA_ISIZE,
    descriptor_len=group_descriptor.LEN,
    log_groups_per_flex=31,  # all groups are one flexible group
    reserved_descriptors=ReservedDescriptors.FOR_MAXIMUM_SIZE,
    backups=Backups.NONE,
    tables=Tables.AFTER_DATA,
    group_choice=GroupChoice.FEWEST,
    unused_inode_bits=UnusedInodeBits.CLEAR,
    block_unit=BlockUnit.BLOCKS,
    directories=DirectoryForm.CLOSED_BY_EMPTY_ENTRIES,
    xattr_placing=XattrPlacing.FIRST_FIT,
    max_file_size=1 << 37,
    max_inline_size=136,  # 60 bytes of i_block, and 76 as the value of system.data
    max_short_target_len=59,  # i_block less a NUL
    max_links=inode.MAX_LINKS,
    links_beyond=LinksBeyond.ONE,
)
