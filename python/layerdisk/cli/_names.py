"""What the numbers of a superblock mean, in the words of e2fsprogs.

Source: kernel, fs/ext4/ext4.h; e2fsprogs, lib/e2p/feature.c and dumpe2fs(8).
"""

from __future__ import annotations

COMPATIBLE = {
    0x1: "dir_prealloc",
    0x2: "imagic_inodes",
    0x4: "has_journal",
    0x8: "ext_attr",
    0x10: "resize_inode",
    0x20: "dir_index",
    0x200: "sparse_super2",
    0x400: "fast_commit",
    0x800: "stable_inodes",
    0x1000: "orphan_file",
}
INCOMPATIBLE = {
    0x1: "compression",
    0x2: "filetype",
    0x4: "needs_recovery",
    0x8: "journal_dev",
    0x10: "meta_bg",
    0x40: "extent",
    0x80: "64bit",
    0x100: "mmp",
    0x200: "flex_bg",
    0x400: "ea_inode",
    0x1000: "dirdata",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
READ_ONLY_COMPATIBLE = {
    0x1: "sparse_super",
    0x2: "large_file",
    0x8: "huge_file",
    0x10: "uninit_bg",
    0x20: "dir_nlink",
    0x40: "extra_isize",
    0x100: "quota",
    0x200: "bigalloc",
    0x400: "metadata_csum",
    0x800: "replica",
    0x1000: "read-only",
    0x2000: "project",
    0x4000: "shared_blocks",
    0x8000: "verity",
    0x10000: "orphan_present",
}
STATES = {0x1: "clean", 0x2: "with errors", 0x4: "with orphans being recovered"}
ERRORS = {1: "continue", 2: "remount read-only", 3: "panic"}
SYSTEMS = {0: "Linux", 1: "Hurd", 2: "Masix", 3: "FreeBSD", 4: "Lites"}
DISK_TYPES = {2: "fixed", 3: "dynamic", 4: "differencing"}


def flag_names(flags: int, names: dict[int, str]) -> str:
    """Return the names of the flags that are set, those without a name in hex.

    >>> flag_names(0x8 | 0x40000000, COMPATIBLE), flag_names(0, COMPATIBLE)
    ('ext_attr 0x40000000', 'none')
    """
    bits = [1 << bit for bit in range(flags.bit_length()) if flags >> bit & 1]
    return " ".join(names.get(bit, f"{bit:#x}") for bit in bits) or "none"


def name_of(number: int, names: dict[int, str]) -> str:
    """Return the name of a number, or the number itself where it has none."""
    return names.get(number, f"unknown ({number})")
