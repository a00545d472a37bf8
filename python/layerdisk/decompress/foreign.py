"""What is found where a layer should be: known by how it starts, so that an error can name it."""

from __future__ import annotations

BLOCK_BYTES = 512  # of a tar
_CHECKSUM = slice(148, 156)  # POSIX ustar: chksum, octal digits

# First bytes and what starts so.
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xfd7zXZ\x00", "xz-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"\x04\x22\x4d\x18", "lz4-compressed data"),
    (b"LZIP", "lzip-compressed data"),
    (b"\x89LZO", "lzop-compressed data"),
    (b"\x5d\x00\x00", "lzma-compressed data"),
    (b"\x1f\x9d", "data of the program compress"),
    (b"\x1f\xa0", "data of the program compress"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"hsqs", "a squashfs image"),
    (b"conectix", "a VHD"),
    (b"vhdxfile", "a VHDX"),
    (b"QFI\xfb", "a qcow2 image"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"<?xml", "XML"),
    (b"<!doctype", "HTML"),
    (b"<html", "HTML"),
    (b"<head", "HTML"),
)


def foreign_name(start: bytes) -> str | None:
    """Return what a stream that starts with these (up to 10) bytes probably is, if it is not a layer.

    >>> foreign_name(b"<!DOCTYPE html>")
    'HTML'
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    for magic, name in _STARTS:
        if start.startswith(magic) or (magic[:1] in b"{[<" and text.startswith(magic)):
            return name
    return None


def is_tar_header(block: bytes) -> bool:
    """Tell whether a block is a tar header, by its checksum: the sum of its bytes, those of the field as spaces."""
    if len(block) < BLOCK_BYTES:
        return False
    try:
        wanted = int(block[_CHECKSUM].strip(b" \0"), 8)
    except ValueError:
        return False
    rest = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop : BLOCK_BYTES]
    return sum(rest) == wanted or sum(byte - 256 * (byte > 127) for byte in rest) == wanted
