"""Entry names as lists of components: purely lexical, symlinks are the tree's business."""

from __future__ import annotations


def components(name: bytes) -> list[bytes]:
    """Give the components of `/` + name: no empty ones, no `.`; `..` takes the one before it."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part and part != b".":
            parts.append(part)
    return parts


def split_file(name: bytes) -> tuple[bytes, bytes]:
    """Give what is before the name behind the last `/`, with the `/`, and that name."""
    at = name.rfind(b"/") + 1
    return name[:at], name[at:]
