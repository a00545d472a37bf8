"""The comparison of one layer: what layerdisk writes against what hcsshim writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from common import digest_of
from doubles import BytesReader
from files import assert_same_bytes, describe_difference
from layerdisk import errdefs
from layerdisk.tar2ext4 import ConvertResult, convert
from oracle_client import Answer, Oracle
from touched import BLOCK, touched_by, untouched

FOOTER_BYTES = 512


CORES = ("rust", "python")


class Outcome(NamedTuple):
    """What a conversion came to: a result or an error."""

    result: ConvertResult | None
    error: errdefs.LayerdiskError | None


def attempt(tar: bytes | Path | BinaryIO, out: Path, **options: Any) -> Outcome:
    """Convert; errors of layerdisk are an outcome, all others are failures of the test."""
    try:
        if isinstance(tar, bytes):
            return Outcome(convert(BytesReader(tar), str(out), **options), None)
        if isinstance(tar, Path):
            with open(tar, "rb") as reader:
                return Outcome(convert(reader, str(out), **options), None)
        return Outcome(convert(tar, str(out), **options), None)
    except errdefs.LayerdiskError as error:
        return Outcome(None, error)


def compare(
    oracle: Oracle,
    cores: str | tuple[str, ...],
    tar: bytes | Path,
    scratch: Path,
    sparse: bool = False,
    **options: Any,
) -> list[Outcome]:
    """Assert everything that must hold between hcsshim and both modes of layerdisk.

    Args:
        oracle: the reference.
        cores: which core of layerdisk, or several for one run of the reference.
        tar: the layer.
        scratch: where the three images go.
        sparse: let the reference leave zeros out of its file.
        options: of Convert and of convert alike.

    Returns:
        What the default mode of each core came to.
    """
    reference = scratch / "reference.img"
    theirs = oracle.convert(tar, reference, sparse=sparse, **options)
    vhd = bool(options.get("append_vhd_footer") or options.get("only_append_vhd_footer"))
    said = []
    for core in [cores] if isinstance(cores, str) else cores:
        try:
            check_reproducing(theirs, reference, tar, core, scratch / "reproduced.img", vhd, options)
            said.append(check_default(theirs, reference, tar, core, scratch / "default.img", vhd, options))
        except AssertionError as error:
            raise AssertionError(f"core {core}, options {options}: {error}") from error
    return said


def check_reproducing(
    theirs: Answer,
    reference: Path,
    tar: bytes | Path,
    core: str,
    out: Path,
    vhd: bool,
    options: dict[str, Any],
) -> None:
    """reproduce_defects=True: the same bytes, or a refusal by both."""
    out.unlink(missing_ok=True)
    ours = attempt(tar, out, core=core, reproduce_defects=True, **options)
    if isinstance(ours.error, errdefs.NotReproducible):
        assert theirs.panic is not None or ours.error.code == "N4", (
            f"hcsshim is well here, but: {ours.error!r}"
        )
    elif theirs.panic is not None:
        raise AssertionError(f"hcsshim panics ({theirs.panic}), we say {ours}")
    elif theirs.error is not None:
        assert ours.error is not None, f"hcsshim refuses ({theirs.error}), we accept: {ours.result}"
        expected = classes_of(theirs.error)
        assert isinstance(ours.error, expected), f"hcsshim says {theirs.error}, we say {ours.error!r}"
        assert not out.exists()
    else:
        assert ours.error is None, f"hcsshim accepts, we refuse: {ours.error!r}"
        assert_result(ours.result, tar, out)
        assert_same(reference, out, vhd)


def check_default(
    theirs: Answer,
    reference: Path,
    tar: bytes | Path,
    core: str,
    out: Path,
    vhd: bool,
    options: dict[str, Any],
) -> Outcome:
    """Default mode: except what findings say, the bytes are hcsshim's."""
    out.unlink(missing_ok=True)
    ours = attempt(tar, out, core=core, **options)
    if ours.error is not None:
        assert not isinstance(ours.error, errdefs.NotReproducible), repr(ours.error)
        assert not theirs.ok or getattr(ours.error, "code", None), (
            f"hcsshim accepts, we refuse: {ours.error!r}"
        )
        assert not out.exists()
        return ours
    assert_result(ours.result, tar, out)
    assert ours.result is not None
    differing = {finding.code for finding in ours.result.findings if not finding.identical}
    touched = touched_by(differing)
    if touched is None or (differing and not theirs.ok):
        return ours
    assert theirs.ok, f"hcsshim says {theirs.error or theirs.panic}; we accept with no finding"
    if not touched:
        assert_same(reference, out, vhd)
    elif reference.stat().st_size == out.stat().st_size:  # else a block of xattrs more or less moves the rest
        assert_same_but(touched, reference, out)
    else:
        assert "xattrs" in touched, f"{differing} change the size of the image"
    return ours


def assert_same_but(touched: set[str], theirs: Path, ours: Path) -> None:
    """Equal bytes outside of what faults touch; up to the end of the blocks, so without a footer."""
    size = ours.stat().st_size // BLOCK * BLOCK
    a, b = (untouched(path.read_bytes()[:size], touched) for path in [theirs, ours])
    assert a == b, f"outside of {touched}: " + describe_difference("hcsshim", a, "ours", b, 0)


def classes_of(text: str) -> tuple[type[BaseException], ...]:
    """The exceptions that stand for one of hcsshim's error texts."""
    if text == "unexpected EOF":
        return (errdefs.TruncatedTar,)
    if text.startswith("archive/tar: "):
        return (errdefs.InvalidTar,)
    if "disk exceeded maximum size" in text:
        return (errdefs.DiskSizeExceeded,)
    if "exceed" in text or "too big" in text:
        return (errdefs.DiskSizeExceeded, errdefs.InvalidEntry)
    return (errdefs.InvalidEntry,)


def assert_result(result: ConvertResult | None, tar: bytes | Path, out: Path) -> None:
    """Digest and size are those of the whole stream; every finding says what it must."""
    assert result is not None
    if isinstance(tar, bytes):
        assert result.digest == digest_of(tar)
        assert result.size == len(tar)
    for finding in result.findings:
        assert finding.code[0] in "BN", finding
        assert finding.message, finding
        assert isinstance(finding.identical, bool), finding
        assert isinstance(finding.entry, str), finding
        assert 0 <= finding.offset <= result.size, finding
    assert out.stat().st_size - result.image_size in (0, FOOTER_BYTES)


def assert_same(theirs: Path, ours: Path, vhd: bool) -> None:
    """Equal bytes; of a VHD footer the random unique id and the checksum aside (ours is verified)."""
    size = theirs.stat().st_size
    assert ours.stat().st_size == size, f"hcsshim writes {size} bytes, we write {ours.stat().st_size}"
    end = size - FOOTER_BYTES if vhd else size
    assert_same_bytes(theirs, ours, end)
    if vhd:
        a, b = (tail(path, end) for path in [theirs, ours])
        assert a[:64] + a[84:] == b[:64] + b[84:], "the VHD footers differ"
        checksum = ~(sum(b) - sum(b[64:68])) & 0xFFFFFFFF
        assert b[64:68] == checksum.to_bytes(4, "big"), "the checksum of the VHD footer is wrong"


def tail(path: Path, start: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        return file.read()
