"""The feature words of the superblock. Source: kernel, Documentation/filesystems/ext4/super.rst."""

from __future__ import annotations

from typing import NamedTuple


class Features(NamedTuple):
    """s_feature_compat, s_feature_incompat and s_feature_ro_compat."""

    compat: int = 0
    incompat: int = 0
    ro_compat: int = 0

    def __or__(self, others: Features) -> Features:
        """Return these and others."""
        return Features(
            self.compat | others.compat, self.incompat | others.incompat, self.ro_compat | others.ro_compat
        )

    def __contains__(self, others: object) -> bool:
        """Tell whether all of these are among them."""
        return isinstance(others, Features) and self | others == self


NONE = Features()
EXT_ATTR = Features(compat=0x8)
SPARSE_SUPER2 = Features(compat=0x200)
FILETYPE = Features(incompat=0x2)
EXTENTS = Features(incompat=0x40)
FLEX_BG = Features(incompat=0x200)
INLINE_DATA = Features(incompat=0x8000)
LARGE_FILE = Features(ro_compat=0x2)
HUGE_FILE = Features(ro_compat=0x8)
DIR_NLINK = Features(ro_compat=0x20)
EXTRA_ISIZE = Features(ro_compat=0x40)
METADATA_CSUM = Features(ro_compat=0x400)
READONLY = Features(ro_compat=0x1000)
