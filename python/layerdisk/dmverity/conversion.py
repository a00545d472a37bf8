"""Hashes of an image while it is made, and the root hash of one that is not made at all."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from .._core import Core
from .._record import Record
from ..errdefs import ConversionError, InvalidArgument
from ..findings import Finding
from ..io import OutputFile, open_sink
from ..options import Options, VerityOptions
from .parameters import Verity
from .places import Spill

# The reader is this many pieces of this many bytes ahead of the slower of two conversions.
_PIECES_AHEAD = 8
_PIECE_LEN = 256 * 1024
_IMPLICIT_PARENT = "B13"
_BEFORE_0_13 = (
    "; versions of hcsshim before v0.13, which containerd 1.7 and 2.0 have, stamp the directory with the current time:"
    " their root hash cannot match"
)


class RootDigest(Record):
    """A root hash without a disk; as text, the hash in hexadecimal digits.

    Attributes:
        root_hash: in hexadecimal digits.
        digest: "sha256:..." of the tar to its last byte: a layer's diffID.
        size: of the tar in bytes.
        image_size: of the file system in bytes.
        data_blocks: that the hash covers.
        findings: where hcsshim's disk is wrong, in the order of the entries.
    """

    _fields = ("root_hash", "digest", "size", "image_size", "data_blocks", "findings")
    __slots__ = _fields

    root_hash: str
    digest: str
    size: int
    image_size: int
    data_blocks: int
    findings: tuple[Finding, ...]

    def __init__(
        self,
        *,
        root_hash: str,
        digest: str,
        size: int,
        image_size: int,
        data_blocks: int = 0,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        self._fill(
            root_hash=root_hash,
            digest=digest,
            size=size,
            image_size=image_size,
            data_blocks=data_blocks,
            findings=findings,
        )

    def __str__(self) -> str:
        """Return the root hash."""
        return self.root_hash


def open_hashes(
    wanted: bool | Verity,
    hash_device: str | os.PathLike[str] | None,
    writer: Any,
    stack: contextlib.ExitStack,
) -> tuple[Verity, VerityOptions, list[Callable[[], None]]]:
    """Open what the hashes of a conversion go to.

    Returns:
        The parameters, the record for a core, and what makes the hash device final.
    """
    verity = wanted if isinstance(wanted, Verity) else Verity()
    if verity.hash_offset is not None:
        raise InvalidArgument("the hashes of a conversion follow the image, or start a file of their own")
    directory = os.path.dirname(os.path.realpath(writer)) if isinstance(writer, (str, os.PathLike)) else None
    spill = stack.enter_context(contextlib.closing(Spill(directory)))
    if hash_device is None:
        return verity, verity.options(spill=spill), []
    if isinstance(writer, (str, os.PathLike)) and os.path.realpath(writer) == os.path.realpath(hash_device):
        raise InvalidArgument("the image and its hash device must be two files")
    output = stack.enter_context(OutputFile(hash_device))
    return verity, verity.options(sink=open_sink(output.file), spill=spill), [output.commit]


def compute_root_digest(
    reader: Any,
    reopen: Callable[[], Any] | None,
    options: Options,
    verity: Verity | None,
    progress: Callable[[int], object] | None,
    core: Core,
) -> RootDigest:
    """Convert into nothing: without hcsshim's faults, which gives findings, and with them where they differ."""
    hashed = options._replace(verity=(verity or Verity()).options())
    right = hashed._replace(reproduce_defects=False)
    if not options.reproduce_defects:
        return _root_digest(core.convert(reader, None, right, progress), None)
    again = reopen or _rewind(reader)
    if again is None:
        return _both_at_once(reader, hashed, progress, core)
    try:
        found = _root_digest(core.convert(reader, None, right, progress), None)
    except ConversionError as error:
        findings: tuple[Finding, ...] = (_refusal(error),)
    else:
        if all(finding.identical for finding in found.findings):
            return found  # the image is hcsshim's to the byte
        findings = found.findings
    return _root_digest(core.convert(again(), None, hashed, progress), findings)


def _rewind(reader: Any) -> Callable[[], Any] | None:
    """Return what brings a reader back to where it is; None for one that cannot seek."""
    try:
        if not reader.seekable():
            return None
        start = reader.tell()
    except (AttributeError, OSError):
        return None

    def again() -> Any:
        reader.seek(start)
        return reader

    return again


def _both_at_once(
    reader: Any, hashed: Options, progress: Callable[[int], object] | None, core: Core
) -> RootDigest:
    """Convert with and without faults side by side, as a stream that cannot be read twice needs."""
    tee = _Tee(reader)
    options = hashed._replace(reproduce_defects=False, verity=None)
    second = threading.Thread(target=tee.run, args=(core, options), daemon=True)
    second.start()
    try:
        fields = core.convert(tee, None, hashed, progress)
    finally:
        tee.end()
        second.join()
    return _root_digest(fields, tee.findings())


def _refusal(error: ConversionError) -> Finding:
    """Return the finding that stands for a refusal: hcsshim takes the layer, unless it refuses it too."""
    return Finding(
        code=error.code or "",
        entry=error.entry or "",
        offset=error.offset or 0,
        message=error.message,
        identical=False,
    )


def _root_digest(fields: dict[str, Any], findings: tuple[Finding, ...] | None) -> RootDigest:
    from ..tar2ext4 import result_of

    stored = fields.pop("verity")
    result = result_of(fields)
    return RootDigest(
        root_hash=stored["root"].hex(),
        digest=result.digest,
        size=result.size,
        image_size=result.image_size,
        data_blocks=stored["data_blocks"],
        findings=tuple(
            _with_history(finding) for finding in (result.findings if findings is None else findings)
        ),
    )


def _with_history(finding: Finding) -> Finding:
    if finding.code != _IMPLICIT_PARENT:
        return finding
    return Finding(**(finding._asdict() | {"message": finding.message + _BEFORE_0_13}))


class _Tee:
    """A reader whose bytes a second conversion, without faults, gets too."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._pieces: queue.Queue[bytes] = queue.Queue(_PIECES_AHEAD)
        self._stopped = threading.Event()
        self._findings: tuple[Finding, ...] = ()

    def read(self, size: int) -> bytes | None:
        """Give the first conversion its bytes, and keep them for the second."""
        piece: bytes | None = self._reader.read(min(size, _PIECE_LEN))
        if piece:
            self._put(bytes(piece))
        return piece

    def end(self) -> None:
        """Say that no more comes."""
        self._put(b"")

    def _put(self, piece: bytes) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=0.1)
                return

    def run(self, core: Core, options: Options) -> None:
        """Convert without faults, for the findings."""
        from ..tar2ext4 import result_of

        try:
            self._findings = result_of(core.convert(_Second(self._pieces), None, options, None)).findings
        except ConversionError as error:
            self._findings = (_refusal(error),)
        finally:
            self._stopped.set()

    def findings(self) -> tuple[Finding, ...]:
        """Return them, when the second conversion is through."""
        return self._findings


class _Second:
    def __init__(self, pieces: queue.Queue[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        if not self._rest and not self._ended:
            self._rest = self._pieces.get()
            self._ended = not self._rest
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
