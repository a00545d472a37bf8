"""N2, N2b, B22: group count and size of the inode tables modulo 2^32."""

from __future__ import annotations

from ...units import U32_MAX
from ..layout.groups import Groups, data_blocks_per_group, fewest


def groups(table_start: int, inodes: int) -> Groups:
    """Return the number of groups as hcsshim computes it."""

    def count(inodes_per_group: int) -> int:
        data_blocks = data_blocks_per_group(inodes_per_group)
        by_inodes = (inodes - 1) // inodes_per_group * data_blocks + 1 & U32_MAX
        return (max(table_start, by_inodes) + data_blocks - 1 & U32_MAX) // data_blocks

    return fewest(count)


def table_padding(groups: Groups, written: int) -> int:
    """Return the zeros after the inodes that are in use, up to the end of the tables."""
    return groups.table_bytes - written & U32_MAX
