"""Layer tars as ext4 images: the counterpart of hcsshim's package tar2ext4, with its options under their names."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ._core import Core, choose
from ._record import Record
from .errdefs import InvalidArgument
from .findings import Finding
from .io import OutputFile, Readable, append, open_sink, reads_what_is_written
from .options import Layout, Options

if TYPE_CHECKING:
    import uuid

    from .dmverity import Verity, VerityInfo
    from .dmverity.conversion import RootDigest

DEFAULT_MAXIMUM_DISK_SIZE = 16 * 1024**3
_SUPERBLOCK_END = 2048
_LARGEST_LOG_BLOCK_SIZE = 6  # 64 KiB. Source: kernel, EXT4_MAX_BLOCK_SIZE
_VHD_FOOTER_LEN = 512
_COPY_LEN = 1024 * 1024


class ConvertResult(Record):
    """Result of a conversion. Without findings the image is byte-identical to hcsshim's.

    Attributes:
        digest: "sha256:..." of the tar to its last byte: a layer's diffID.
        size: of the tar in bytes.
        image_size: of the file system in bytes, the VHD footer left out.
        blocks: of 4096 bytes in the file system (0 where only a footer was appended, like the next two).
        inodes: in use, root and lost+found included.
        directories: among them.
        findings: in the order of the entries.
        verity: the verity device that the image became: root_digest, hash_offset, tree_size and so on; None where that
            was not asked for.
    """

    _fields = ("digest", "size", "image_size", "blocks", "inodes", "directories", "findings", "verity")
    __slots__ = _fields

    digest: str
    size: int
    image_size: int
    blocks: int
    inodes: int
    directories: int
    findings: tuple[Finding, ...]
    verity: VerityInfo | None

    def __init__(
        self,
        *,
        digest: str,
        size: int,
        image_size: int,
        blocks: int = 0,
        inodes: int = 0,
        directories: int = 0,
        findings: tuple[Finding, ...] = (),
        verity: VerityInfo | None = None,
    ) -> None:
        self._fill(
            digest=digest,
            size=size,
            image_size=image_size,
            blocks=blocks,
            inodes=inodes,
            directories=directories,
            findings=findings,
            verity=verity,
        )


def convert(
    reader: Readable,
    writer: str | os.PathLike[str] | BinaryIO,
    *,
    convert_whiteout: bool = False,
    convert_backslash: bool = False,
    append_vhd_footer: bool = False,
    only_append_vhd_footer: bool = False,
    append_dm_verity: bool | Verity = False,
    hash_device: str | os.PathLike[str] | None = None,
    inline_data: bool = False,
    maximum_disk_size: int = DEFAULT_MAXIMUM_DISK_SIZE,
    layout: Layout = "hcsshim",
    reproduce_defects: bool = False,
    progress: Callable[[int], object] | None = None,
    vhd_unique_id: uuid.UUID | bytes | None = None,
    in_place: bool = False,
    core: str | None = None,
) -> ConvertResult:
    r"""Convert a layer tar into an ext4 image.

    Args:
        reader: binary file object with the plain tar, read to its end. It and `progress` are only called on the
            thread that calls this, and so is a writer.
        writer: path of the image, which appears under its name only when it is complete and on disk, or of a block
            device; or a seekable binary file object, which is emptied and written from its start, but not before
            the options and the reader are seen to be right.
        convert_whiteout: turn OCI whiteouts (`.wh.x`, `.wh..wh..opq`) into those of overlayfs.
        convert_backslash: take `\` in names and link targets as `/`.
        append_vhd_footer: end the file with a fixed VHD footer.
        only_append_vhd_footer: copy the input as it is and append the footer; other options do not matter.
        append_dm_verity: make the image a verity device: its hash tree follows it, before any footer. True: as hcsshim
            does it; a `dmverity.Verity` for other parameters.
        hash_device: path of a file for the hashes instead, which appears under its name when it is complete.
        inline_data: keep files of up to 136 bytes inside their inodes.
        maximum_disk_size: in bytes; rounded up to 4096, 0 means 16 GiB, less than 0 or more than 16 TiB means 16 TiB.
        layout: "hcsshim" (docs/format.md).
        reproduce_defects: write hcsshim's very bytes where it is known to be wrong, and refuse what it refuses.
        progress: called with the number of bytes read so far, often; an exception from it ends the conversion.
        vhd_unique_id: 16 bytes for the footer; by default derived from the tar and the options.
        in_place: write into the file of this path itself, as where it is a mount point and cannot be replaced;
            after an error it holds no image.
        core: "rust" or "python"; by default the best there is.

    Returns:
        The digest of the tar, sizes and counts, findings, and what there is of dm-verity.

    Raises:
        ConversionError: the tar is malformed, cut short, or cannot be put into an image; its subclasses say which.
        InvalidArgument: an option is out of range.
        OSError: the output cannot be written. Errors of reader and writer pass through.

    Source: hcsshim, ext4/tar2ext4.
    """
    options = Options(
        payload="raw" if only_append_vhd_footer else "tar",
        layout=layout,
        reproduce_defects=bool(reproduce_defects),
        container="vhd" if append_vhd_footer or only_append_vhd_footer else "raw",
        convert_whiteout=bool(convert_whiteout),
        convert_backslash=bool(convert_backslash),
        inline_data=bool(inline_data),
        maximum_disk_size=_clamped(maximum_disk_size),
        vhd_unique_id=_unique_id_bytes(vhd_unique_id),
        sync=isinstance(writer, (str, os.PathLike)),
    )
    _, implementation = choose(core)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {type(progress).__name__}, and must be a function")
    with contextlib.ExitStack() as stack:
        finished: list[Callable[[], None]] = []
        verity = None
        if (append_dm_verity or hash_device is not None) and not only_append_vhd_footer:
            from .dmverity.conversion import open_hashes  # here, since few conversions need it

            verity, hashes, commit_hashes = open_hashes(append_dm_verity, hash_device, writer, stack)
            finished += commit_hashes
            options = options._replace(verity=hashes)
        file, commit = stack.enter_context(_opened(writer, in_place))
        if commit is not None:
            finished.append(commit)
        if reads_what_is_written(reader, file):
            raise InvalidArgument("the output is the input, which would be gone before it is read")
        fields = implementation.convert(reader, open_sink(file), options, progress)
        file.seek(0, os.SEEK_END)  # where the object would be had it written itself
        for commit in finished:
            commit()
    if verity is not None:
        from .dmverity.device import info_of

        fields["verity"] = info_of(verity, fields["verity"], separate=hash_device is not None)
    return result_of(fields)


def convert_and_compute_root_digest(
    reader: Readable,
    *,
    reproduce_defects: bool = True,
    convert_whiteout: bool = True,
    maximum_disk_size: int = 128 * 1024**3,
    verity: Verity | None = None,
    reopen: Callable[[], Readable] | None = None,
    progress: Callable[[int], object] | None = None,
    core: str | None = None,
) -> RootDigest:
    """Compute the dm-verity root hash that a layer's disk would have, without a disk, on file or in memory.

    Args:
        reader: binary file object with the plain tar, read to its end.
        reproduce_defects: of hcsshim's disk, since a verifier measures what hcsshim writes; False: of the disk that
            `convert` writes by default.
        convert_whiteout: as in `convert`; hcsshim does.
        maximum_disk_size: as in `convert`; hcsshim takes 128 GiB.
        verity: parameters of the hashes; by default hcsshim's.
        reopen: called to read the tar once more, where hcsshim's disk differs. Without it a reader that can seek is
            rewound, and for any other both disks are computed at once, which takes longer.
        progress: as in `convert`.
        core: as in `convert`.

    Returns:
        The root hash, digest and size of the tar, and findings: where hcsshim's disk is wrong, and where the hash of
        versions before v0.13 differs.

    Raises:
        ConversionError: as `convert`.

    Source: hcsshim, ext4/tar2ext4 (ConvertAndComputeRootDigest).
    """
    from .dmverity.conversion import compute_root_digest  # here, since few need it

    options = Options(
        reproduce_defects=reproduce_defects,
        convert_whiteout=convert_whiteout,
        maximum_disk_size=_clamped(maximum_disk_size),
    )
    return compute_root_digest(reader, reopen, options, verity, progress, choose(core)[1])


def result_of(fields: dict[str, Any]) -> ConvertResult:
    """Return the result whose fields a core gives."""
    fields["digest"] = f"sha256:{fields['digest']}"
    fields["findings"] = tuple(_finding(*finding) for finding in fields["findings"])
    return ConvertResult(**fields)


def convert_to_vhd(
    image: str | os.PathLike[str] | BinaryIO, *, vhd_unique_id: uuid.UUID | bytes | None = None
) -> None:
    """Append a fixed VHD footer to an existing image, in place.

    Args:
        image: path, or binary file object open for reading and writing.
        vhd_unique_id: 16 bytes; by default derived from the image, which is then read as a whole.

    Raises:
        InvalidArgument: the image has a footer already.
        OSError: it cannot be read or written; its length is then as before.

    Source: hcsshim, ext4/tar2ext4 (ConvertToVhd).
    """
    unique_id = _unique_id_bytes(vhd_unique_id)
    _, core = choose()
    with _file(image, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _VHD_FOOTER_LEN))
        if _is_vhd_footer(file.read(_VHD_FOOTER_LEN), core):
            raise InvalidArgument("the image ends with a VHD footer already")
        if unique_id is None:
            unique_id = core.vhd_unique_id(f"raw sha256:{_sha256(file)}")
        append(file, size, core.vhd_footer(size, unique_id))
        if file is not image:
            os.fsync(file.fileno())


def read_ext4_superblock(image: str | os.PathLike[str] | BinaryIO | bytes) -> Ext4SuperBlock:
    """Read the superblock of an ext4 image.

    Args:
        image: path, binary file object (read from its start), or at least the first 2048 bytes.

    Raises:
        InvalidArgument: it is not an ext4 file system.
        OSError: it cannot be read.

    Source: kernel, Documentation/filesystems/ext4/super.rst.
    """
    if isinstance(image, bytes):
        start = image
    else:
        with _file(image, "rb") as file:
            file.seek(0)
            start = file.read(_SUPERBLOCK_END)
    _, core = choose()
    fields: dict[str, Any] = dict(core.read_superblock(start[:_SUPERBLOCK_END]))
    return Ext4SuperBlock(**fields)


def is_device_ext4(image: str | os.PathLike[str] | BinaryIO) -> bool:
    """Tell whether a file or device starts with an ext4 file system.

    Raises:
        OSError: it cannot be read.
    """
    try:
        read_ext4_superblock(image)
    except InvalidArgument:
        return False
    return True


def ext4_file_system_size(image: str | os.PathLike[str] | BinaryIO) -> tuple[int, int]:
    """Give the size of an ext4 file system and of its blocks, both in bytes.

    Raises:
        InvalidArgument: it is not an ext4 file system.
        OSError: it cannot be read.

    Source: hcsshim, ext4/tar2ext4 (Ext4FileSystemSize).
    """
    superblock = read_ext4_superblock(image)
    return superblock.block_size * superblock.s_blocks_count_lo, superblock.block_size


class Ext4SuperBlock(NamedTuple):
    """The fields of an ext4 superblock that say something, under the kernel's names."""

    s_inodes_count: int
    s_blocks_count_lo: int
    s_r_blocks_count_lo: int
    s_free_blocks_count_lo: int
    s_free_inodes_count: int
    s_first_data_block: int
    s_log_block_size: int
    s_log_cluster_size: int
    s_blocks_per_group: int
    s_clusters_per_group: int
    s_inodes_per_group: int
    s_mtime: int
    s_wtime: int
    s_mnt_count: int
    s_max_mnt_count: int
    s_magic: int
    s_state: int
    s_errors: int
    s_minor_rev_level: int
    s_lastcheck: int
    s_checkinterval: int
    s_creator_os: int
    s_rev_level: int
    s_def_resuid: int
    s_def_resgid: int
    s_first_ino: int
    s_inode_size: int
    s_block_group_nr: int
    s_feature_compat: int
    s_feature_incompat: int
    s_feature_ro_compat: int
    s_uuid: bytes
    s_volume_name: bytes
    s_min_extra_isize: int
    s_want_extra_isize: int
    s_log_groups_per_flex: int
    s_lpf_ino: int

    @property
    def block_size(self) -> int:
        """Size of a block in bytes; InvalidArgument where the field says what no file system has."""
        if self.s_log_block_size > _LARGEST_LOG_BLOCK_SIZE:
            raise InvalidArgument(
                f"not an ext4 file system: s_log_block_size is {self.s_log_block_size},"
                f" it must be at most {_LARGEST_LOG_BLOCK_SIZE}"
            )
        return 1024 << self.s_log_block_size


def _finding(code: str, entry: bytes, offset: int, message: str, identical: bool, count: int) -> Finding:
    name = bytes(entry).decode("utf-8", "surrogateescape")
    return Finding(code=code, entry=name, offset=offset, message=message, identical=identical, count=count)


def _is_vhd_footer(end: bytes, core: Core) -> bool:
    try:
        core.read_vhd_footer(end)
    except InvalidArgument:
        return False
    return True


def _unique_id_bytes(value: uuid.UUID | bytes | None) -> bytes | None:
    if value is None:
        return None
    unique_id = value if isinstance(value, bytes) else value.bytes
    if len(unique_id) != 16:
        raise InvalidArgument(f"vhd_unique_id has {len(unique_id)} bytes, not 16")
    return unique_id


def _clamped(size: int) -> int:
    """Bring any integer into the range in which the cores do the real clamping."""
    return max(-1, min(operator.index(size), 2**63 - 1))


@contextlib.contextmanager
def _opened(
    writer: str | os.PathLike[str] | BinaryIO, in_place: bool
) -> Iterator[tuple[Any, Callable[[], None] | None]]:
    """Return the file to write, and for a path what makes it final."""
    if isinstance(writer, (str, os.PathLike)):
        with OutputFile(writer, in_place=in_place) as output:
            yield output.file, output.commit
    else:
        yield writer, None


@contextlib.contextmanager
def _file(image: str | os.PathLike[str] | BinaryIO, mode: str) -> Iterator[BinaryIO]:
    if isinstance(image, (str, os.PathLike)):
        with open(image, mode) as file:
            yield file  # type: ignore[misc]
    else:
        yield image


def _sha256(file: BinaryIO) -> str:
    import hashlib  # here, since a conversion does without it

    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_COPY_LEN):
        digest.update(piece)
    return digest.hexdigest()
