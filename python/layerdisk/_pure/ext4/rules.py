"""The decisions in which the ways to write an image differ, as one value that the writer asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Fault codes (B2, N7, ...) are those of docs/format.md.

    Attributes:
        reproduce: write or refuse exactly as hcsshim does, its faults included.
        kernel_xattr_order: B2: entries of an xattr block in the order by which the kernel searches them.
        acl_suffixes: N7: `system.posix_acl_accessX` is an attribute X below the ACL's index.
        faulty_extent_index: B1: extent leaves as hcsshim lays them out.
        wrapping_geometry: N2, B22: group count and inode table size modulo 2^32.
    """

    reproduce: bool
    kernel_xattr_order: bool
    acl_suffixes: bool
    faulty_extent_index: bool
    wrapping_geometry: bool


# hcsshim's layout with the right data where hcsshim writes wrong data or refuses.
HCSSHIM = Rules(
    reproduce=False,
    kernel_xattr_order=True,
    acl_suffixes=False,
    faulty_extent_index=False,
    wrapping_geometry=False,
)

# hcsshim's very bytes.
HCSSHIM_DEFECTS = Rules(
    reproduce=True,
    kernel_xattr_order=False,
    acl_suffixes=True,
    faulty_extent_index=True,
    wrapping_geometry=True,
)
