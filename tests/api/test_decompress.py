"""Decompression by magic: whole streams, and everything else an error."""

from __future__ import annotations

import gzip
import io
import random
import sys
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from layerdisk import errdefs
from layerdisk.decompress import gzip as gzip_streams
from layerdisk.decompress import zstd as zstd_streams
from layerdisk.diff import Decompressor, Readable, decompress, open_plain_tar
from layerdisk.media_types import OCI_LAYER_ZSTD

PLAIN = random.Random(1).randbytes(3000) + b"layer " * 50_000
GZIP = gzip.compress(PLAIN, mtime=0)
SKIPPABLE = b"\x5f\x2a\x4d\x18\x05\0\0\0xxxxx"
EMPTY_SKIPPABLE = b"\x50\x2a\x4d\x18\0\0\0\0"


def zstd(data: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)  # type: ignore[arg-type]


def zstd_unsized(data: bytes) -> bytes:
    """A frame without content size: with a window descriptor, as streams have it."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    return compressor.compress(data) + compressor.flush()


ZSTD = zstd(PLAIN, write_checksum=True)


class Chunked:
    """A reader that gives a few bytes at a time, as sockets and pipes do."""

    def __init__(self, data: bytes, most: int) -> None:
        self._file = io.BytesIO(data)
        self._most = most

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._most))


def read_all(reader: Readable, size: int = 1 << 18) -> bytes:
    pieces = list(iter(lambda: reader.read(size) or b"", b""))
    assert all(len(piece) <= size for piece in pieces)
    assert not reader.read(size)  # the end stays the end
    return b"".join(pieces)


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def inflate_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with and without isal; nothing but speed may differ."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        for module in ("isal", "isal.isal_zlib"):  # the latter may be loaded already
            monkeypatch.setitem(sys.modules, module, None)


WHOLE = {
    "empty": (b"", b""),
    "plain": (PLAIN, PLAIN),
    "shorter than a magic": (b"\x1f\x8b", b"\x1f\x8b"),
    "gzip": (GZIP, PLAIN),
    "gzip, empty": (gzip.compress(b""), b""),
    "gzip, members": (GZIP + gzip.compress(b"") + gzip.compress(b"more"), PLAIN + b"more"),
    "gzip, tiny members": (
        b"".join(gzip.compress(PLAIN[i : i + 9]) for i in range(0, 2700, 9)),
        PLAIN[:2700],
    ),
    "gzip, padding": (GZIP + bytes(100_000), PLAIN),
    "gzip, padded members": (
        GZIP + bytes(3) + gzip.compress(b"more") + bytes(1000) + gzip.compress(b""),
        PLAIN + b"more",
    ),
    "zstd": (ZSTD, PLAIN),
    "zstd, empty": (zstd(b""), b""),
    "zstd, unsized": (zstd_unsized(PLAIN), PLAIN),
    "zstd, stored": (zstd(PLAIN[:3000]), PLAIN[:3000]),
    "zstd, one byte repeated": (zstd(bytes(1 << 20)), bytes(1 << 20)),
    "zstd, frames": (ZSTD + zstd(b"") + zstd_unsized(b"more"), PLAIN + b"more"),
    "zstd, skippable": (SKIPPABLE + ZSTD + EMPTY_SKIPPABLE + SKIPPABLE + ZSTD + SKIPPABLE, PLAIN * 2),
    "zstd, only skippable": (SKIPPABLE, b""),
}


@pytest.mark.parametrize("most", [1, 5, 1 << 20], ids=["bytes", "fives", "at once"])
@pytest.mark.parametrize(("blob", "plain"), WHOLE.values(), ids=WHOLE)
def test_whole_streams(blob: bytes, plain: bytes, most: int) -> None:
    assert read_all(decompress(Chunked(blob, most))) == plain
    assert read_all(decompress(Chunked(blob, most)), size=777) == plain


@pytest.mark.parametrize(("blob", "plain"), WHOLE.values(), ids=WHOLE)
def test_readinto_gives_the_same(blob: bytes, plain: bytes) -> None:
    reader = decompress(Chunked(blob, 1 << 20))
    assert isinstance(reader, io.RawIOBase)
    assert io.BufferedReader(reader).read() == plain


@pytest.mark.parametrize("blob", [PLAIN, b"", GZIP, ZSTD], ids=["plain", "empty", "gzip", "zstd"])
def test_a_plain_file_is_handed_on_itself(blob: bytes) -> None:
    file = io.BytesIO(blob)
    reader = decompress(file)
    assert (reader is file) == (blob in (PLAIN, b""))
    assert read_all(reader) == (blob and PLAIN)
    assert not file.closed


def boundaries(*parts: bytes) -> set[int]:
    """Where a stream may end well: between its parts."""
    return {sum(map(len, parts[:count])) for count in range(len(parts) + 1)}


SMALL = PLAIN[:500] + b"a" * 500
CUT = {
    "gzip": ([gzip.compress(SMALL), gzip.compress(SMALL)]),
    "gzip, stored": ([gzip.compress(SMALL, 0)]),
    "zstd": ([SKIPPABLE, zstd(SMALL, write_checksum=True), zstd_unsized(SMALL), SKIPPABLE, zstd(SMALL)]),
}


@pytest.mark.parametrize("most", [1, 1 << 20], ids=["bytes", "at once"])
@pytest.mark.parametrize("parts", CUT.values(), ids=CUT)
def test_a_stream_cut_at_any_byte_is_an_error(parts: list[bytes], most: int) -> None:
    blob = b"".join(parts)
    start = 8  # with less, the magic cannot be told, and the stream is a plain one
    for cut in set(range(start, len(blob))) - boundaries(*parts):
        with pytest.raises(errdefs.TruncatedStream, match="stream ends early, at byte"):
            read_all(decompress(Chunked(blob[:cut], most)))


FOLLOWED = {
    "gzip": (
        GZIP,
        b"x" * 10,
        r"before byte \d+: Not a gzipped file .* only another one, 1f 8b 08, or NUL padding",
    ),
    "gzip, other method": (GZIP, b"\x1f\x8b\x07xxxxxxx", "Unknown compression method .* only another one"),
    "gzip, padding": (GZIP, bytes(1000) + b"x" * 10, "Not a gzipped file .* only another one"),
    "zstd": (ZSTD, b"xxxx", f"zstd stream: bytes 78 78 78 78 at byte {len(ZSTD)} do not start a frame"),
    "zstd, padding": (
        ZSTD,
        bytes(8),
        f"zstd stream: bytes 00 00 00 00 at byte {len(ZSTD)} do not start a frame",
    ),
    "zstd, gzip": (ZSTD, GZIP, f"zstd stream: bytes 1f 8b 08 00 at byte {len(ZSTD)} do not start a frame"),
}


@pytest.mark.parametrize(("blob", "garbage", "message"), FOLLOWED.values(), ids=FOLLOWED)
def test_what_follows_must_be_more_of_the_same(blob: bytes, garbage: bytes, message: str) -> None:
    with pytest.raises(errdefs.DataLoss, match=message):
        read_all(decompress(Chunked(blob + garbage, 1 << 20)))


@pytest.mark.parametrize("padding", [0, 1000])
@pytest.mark.parametrize("length", range(1, 10))
def test_a_gzip_stream_followed_by_less_than_a_header_is_an_error(length: int, padding: int) -> None:
    for garbage in (b"x" * length, GZIP[:length]):
        with pytest.raises(errdefs.DataLoss, match=r"gzip stream .* byte \d+"):
            read_all(decompress(io.BytesIO(GZIP + bytes(padding) + garbage)))


@pytest.mark.parametrize("at", [-1, -5, -1000], ids=["length", "crc", "data"])
def test_a_damaged_gzip_stream_is_an_error(at: int) -> None:
    blob = bytearray(GZIP)
    blob[at] ^= 0x10
    with pytest.raises(errdefs.DataLoss):
        read_all(decompress(io.BytesIO(bytes(blob))))


@given(st.integers(4, len(ZSTD) - 1), st.integers(0, 7))
def test_a_damaged_zstd_stream_is_an_error(at: int, bit: int) -> None:
    blob = bytearray(ZSTD)
    blob[at] ^= 1 << bit
    try:
        plain = read_all(decompress(io.BytesIO(bytes(blob))))
    except (errdefs.DataLoss, errdefs.ResourceExhausted):
        return
    assert plain == PLAIN  # a bit without meaning


@given(
    st.lists(st.binary(max_size=300) | st.integers(0, 1 << 17).map(bytes), max_size=6),
    st.booleans(),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
def test_any_data_in_any_pieces(parts: list[bytes], use_zstd: bool, most: int, size: int) -> None:
    blob = b"".join((zstd_unsized if use_zstd else gzip.compress)(part) for part in parts)
    assert read_all(decompress(Chunked(blob, most)), size) == b"".join(parts)


@pytest.mark.parametrize(("window_log", "fits"), [(27, True), (29, True), (30, False)])
def test_zstd_windows_up_to_containerds_limit(window_log: int, fits: bool) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    blob = compressor.compress(b"x" * 1000) + compressor.flush()
    if fits:
        assert read_all(decompress(io.BytesIO(blob))) == b"x" * 1000
    else:
        with pytest.raises(errdefs.ResourceExhausted, match="zstd window is larger than 536870912 bytes"):
            read_all(decompress(io.BytesIO(blob)))


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_output_comes_in_pieces_however_much_it_is(compress: Callable[[bytes], bytes]) -> None:
    reader = decompress(io.BytesIO(compress(bytes(1 << 26))))
    sizes = [len(piece) for piece in iter(lambda: reader.read(1 << 20) or b"", b"")]
    assert (sum(sizes), max(sizes)) == (1 << 26, 1 << 20)


def test_errors_of_the_reader_pass_through() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError("gone")

    for reader_of in (decompress, gzip_streams.GzipReader, zstd_streams.ZstdReader):
        with pytest.raises(ConnectionResetError, match="gone"):
            reader_of(Broken()).read(10)


def test_without_isal_the_standard_library_inflates(request: pytest.FixtureRequest) -> None:
    plain = gzip_streams.GzipReader(io.BytesIO(GZIP))._plain
    assert isinstance(plain, gzip_streams.ZlibReader) == (
        request.node.callspec.params["inflate_library"] == "zlib"
    )


def zstd_window(window_log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(b"x" * 1000) + compressor.flush()


def test_the_memory_for_a_zstd_window_can_be_limited() -> None:
    assert read_all(decompress(io.BytesIO(zstd_window(20)), max_window_bytes=1 << 20)) == b"x" * 1000
    with pytest.raises(errdefs.ResourceExhausted, match="zstd window is larger than 1048576 bytes"):
        read_all(decompress(io.BytesIO(zstd_window(21)), max_window_bytes=1 << 20))
    limited = Decompressor(max_window_bytes=1 << 20)
    with (
        open_plain_tar(io.BytesIO(zstd_window(21)), OCI_LAYER_ZSTD, processors=[limited]) as tar,
        pytest.raises(errdefs.ResourceExhausted, match="zstd window is larger than 1048576 bytes"),
    ):
        tar.read(10)


@pytest.mark.parametrize("limit", [0, 1023, (1 << 31) + 1])
def test_a_window_limit_that_cannot_be_is_refused(limit: int) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f"limit is {limit} bytes: must be 1024 to 2147483648"):
        decompress(io.BytesIO(ZSTD), max_window_bytes=limit)


def block(kind: int, content: bytes, *, last: bool = False, size: int | None = None) -> bytes:
    """A block of zstd: 0 as it is, 1 one byte repeated."""
    length = len(content) if size is None else size
    return (length << 3 | kind << 1 | last).to_bytes(3, "little") + content


FRAME = zstd_streams.MAGIC + b"\x00\x08"  # a window of 2 KiB, no checksum


@given(
    st.lists(
        st.tuples(st.binary(max_size=40), st.integers(0, 300)).map(
            lambda made: block(0, made[0]) if made[1] % 2 else block(1, b"a", size=made[1])
        ),
        max_size=400,
    ),
    st.integers(1, 3000),
)
@settings(max_examples=60)
def test_tiny_blocks_are_walked_as_any(blocks: list[bytes], most: int) -> None:
    frame = FRAME + b"".join(blocks) + block(0, b"end", last=True)
    walker = zstd_streams.ZstdFrameWalker(Chunked(frame * 2, most))
    assert b"".join(iter(lambda: walker.read(1 << 17), b"")) == frame * 2
    assert walker.at_end
    cut = zstd_streams.ZstdFrameWalker(Chunked(frame * 2 + frame[:-1], most))
    with pytest.raises(errdefs.TruncatedStream):
        list(iter(lambda: cut.read(1 << 17), b""))


def test_a_stream_of_tiny_blocks_is_walked_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    field = zstd_streams.ZstdFrameWalker._block_header

    def counted(self: zstd_streams.ZstdFrameWalker, header: bytes) -> None:
        nonlocal steps
        steps += 1
        field(self, header)

    monkeypatch.setattr(zstd_streams.ZstdFrameWalker, "_block_header", counted)
    frame = FRAME + block(0, b"") * 100_000 + block(0, b"", last=True)
    walker = zstd_streams.ZstdFrameWalker(io.BytesIO(frame))
    while walker.read(1 << 17):
        pass
    assert walker.at_end
    assert steps < 100
