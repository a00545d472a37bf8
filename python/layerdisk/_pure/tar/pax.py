"""Records of PAX extended headers: length, key and value, each record on a line."""

from __future__ import annotations

from collections.abc import Callable

from ...errdefs import InvalidTar, quote

Records = dict[bytes, bytes]

# Values of these keys end up as C strings, so that they may hold no NUL.
_TEXT_KEYS = frozenset((b"path", b"linkpath", b"uname", b"gname"))
# `5 =\n` would be the shortest record if keys could be empty.
_MIN_RECORD_LEN = 5
_SPARSE_OFFSET = b"GNU.sparse.offset"
_SPARSE_NUMBYTES = b"GNU.sparse.numbytes"
_SPARSE_MAP = b"GNU.sparse.map"
_LIMIT = 1 << 63
_DIGITS = b"0123456789"


def parse_records(body: bytes) -> Records:
    """Give the records by key."""
    records: Records = {}
    sparse: list[bytes] = []
    at = 0
    while at < len(body):
        key, value, at = _record(body, at)
        if key in (_SPARSE_OFFSET, _SPARSE_NUMBYTES):
            if (key == _SPARSE_OFFSET) != (len(sparse) % 2 == 0) or b"," in value:
                raise InvalidTar("records GNU.sparse.offset and GNU.sparse.numbytes do not alternate")
            sparse.append(value)
        else:
            records[key] = value
    if sparse:
        records[_SPARSE_MAP] = b",".join(sparse)
    return records


def _record(body: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Give key and value of the record at `start`, and where the next one is."""

    def bad(why: str) -> InvalidTar:
        return InvalidTar(f"extended header record {quote(body[start:])}: {why}")

    space = body.find(b" ", start)
    if space < 0:
        raise bad("no space behind its length")
    length = parse_decimal(body[start:space])
    left = len(body) - start
    if length is None or not _MIN_RECORD_LEN <= length <= left:
        raise bad(f"its length is not from {_MIN_RECORD_LEN} to {left}, the bytes left")
    end = start + length
    if end < space + 2 or body[end - 1] != 0x0A:
        raise bad("no line feed at its end")
    key, equals, value = body[space + 1 : end - 1].partition(b"=")
    if not equals:
        raise bad("no equals sign")
    if not key or b"\0" in key:
        raise bad("its key is empty or holds a NUL byte")
    if key in _TEXT_KEYS and b"\0" in value:
        raise bad("its value holds a NUL byte")
    return key, value, end


def parse_decimal(value: bytes) -> int | None:
    """Give a signed decimal number of 64 bits: a sign if any, and digits; None if it is not one."""
    digits = value[1:] if value[:1] in (b"-", b"+") else value
    if not digits or digits.strip(_DIGITS):
        return None
    significant = digits.lstrip(b"0")
    if len(significant) > 19:
        return None
    number = int(significant or b"0")
    if value[:1] == b"-":
        number = -number
    return number if -_LIMIT <= number < _LIMIT else None


def decimal(key: bytes, value: bytes) -> int:
    """Give a record's number."""
    number = parse_decimal(value)
    if number is None:
        raise _bad_value(key, value, "no decimal number of 64 bits")
    return number


def time(key: bytes, value: bytes) -> tuple[int, int]:
    """Give a record's time, `S` or `S.F`; nine digits of the fraction count."""
    whole, _, fraction = value.partition(b".")
    seconds = parse_decimal(whole)
    if seconds is None or fraction.strip(_DIGITS):
        raise _bad_value(key, value, "no time in seconds")
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    if value[:1] == b"-" and nanoseconds:
        seconds -= 1
        return (seconds if seconds >= -_LIMIT else seconds + 2 * _LIMIT), 1_000_000_000 - nanoseconds
    return seconds, nanoseconds


def sparse_form(records: Records) -> Callable[[], list[tuple[int, int]] | str] | None:
    """Tell where a sparse file's map is: a call gives the map, or "data"; None for a file like any other."""
    major, minor = records.get(b"GNU.sparse.major") or None, records.get(b"GNU.sparse.minor") or None
    if (major, minor) == (b"1", b"0"):
        return lambda: "data"
    if (major == b"0" and minor in (b"0", b"1")) or (
        major is None and minor is None and records.get(_SPARSE_MAP)
    ):
        return lambda: _sparse_map(records)
    return None


def _sparse_map(records: Records) -> list[tuple[int, int]]:
    count = parse_decimal(records.get(b"GNU.sparse.numblocks", b""))
    value = records.get(_SPARSE_MAP)
    parts = value.split(b",") if value else []
    if count is None or count < 0:
        raise InvalidTar("record GNU.sparse.numblocks is no number from 0 on")
    if 2 * count != len(parts):
        raise InvalidTar(
            f"record GNU.sparse.map has {len(parts)} numbers, GNU.sparse.numblocks says twice {count}"
        )
    numbers = [decimal(_SPARSE_MAP, part) for part in parts]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _bad_value(key: bytes, value: bytes, what: str) -> InvalidTar:
    return InvalidTar(f"extended header record {quote(key)} is {what}: {quote(value)}")
