"""Exceptions of layerdisk: containerd's error classes, and what can go wrong in a conversion.

::

    LayerdiskError
    ├── Unknown
    ├── InvalidArgument (ValueError)
    ├── NotFound (LookupError)
    ├── AlreadyExists
    ├── PermissionDenied
    ├── ResourceExhausted
    ├── FailedPrecondition
    ├── Aborted
    ├── OutOfRange (ValueError)
    ├── NotImplemented (NotImplementedError)
    ├── Internal (RuntimeError)
    ├── Unavailable
    ├── DataLoss
    ├── Unauthenticated
    ├── Canceled
    ├── DeadlineExceeded (TimeoutError)
    ├── NoProcessor                                         no way from a media type to a plain tar
    ├── NotVeritySuperBlock (InvalidArgument)                no dm-verity superblock where one should be
    ├── SuperBlockParseFailure (InvalidArgument)             a dm-verity superblock that cannot be right
    ├── SuperBlockReadFailure (DataLoss, EOFError)           the file ends before the superblock does
    ├── RootHashReadFailure (DataLoss, EOFError)             the file ends before the top of the hash tree
    ├── VerificationFailed (DataLoss)                        a device that is not what its root hash says
    ├── TruncatedStream (DataLoss, EOFError)                a compressed stream or a blob ends early
    └── ConversionError                                     knows the tar entry and its byte offset
        ├── InvalidTar (InvalidArgument)                    malformed archive
        │   └── TruncatedTar (DataLoss, EOFError)           the archive ends early
        ├── InvalidEntry (InvalidArgument)                  an entry that has no place in the tree
        ├── DiskSizeExceeded (ResourceExhausted)            maximum disk size or another fixed limit
        └── NotReproducible (FailedPrecondition)            hcsshim crashes or is nondeterministic here

Errors of the objects that a caller hands in (OSError, KeyboardInterrupt, ...) pass through as they are.
Every class has a `grpc_code`; `to_grpc` and `from_grpc` translate both ways, as containerd does.
"""

from __future__ import annotations

import enum
import errno
from typing import ClassVar

from .names import quote as quote


class Code(enum.IntEnum):
    """Status codes of gRPC.

    Source: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class LayerdiskError(Exception):
    """Every error that layerdisk itself raises."""

    grpc_code: ClassVar[Code] = Code.UNKNOWN
    class_text: ClassVar[str] = "unknown"  # the text with which containerd ends a message of the class


class Unknown(LayerdiskError):
    """An error of no known class."""


class InvalidArgument(LayerdiskError, ValueError):
    """An argument that is wrong whatever the state of the system is."""

    grpc_code = Code.INVALID_ARGUMENT
    class_text = "invalid argument"


class NotFound(LayerdiskError, LookupError):
    """Something named does not exist."""

    grpc_code = Code.NOT_FOUND
    class_text = "not found"


class AlreadyExists(LayerdiskError):
    """Something to be created exists already."""

    grpc_code = Code.ALREADY_EXISTS
    class_text = "already exists"


class PermissionDenied(LayerdiskError):
    """The operating system refuses access."""

    grpc_code = Code.PERMISSION_DENIED
    class_text = "permission denied"


class ResourceExhausted(LayerdiskError):
    """Disk space or another resource ran out."""

    grpc_code = Code.RESOURCE_EXHAUSTED
    class_text = "resource exhausted"


class FailedPrecondition(LayerdiskError):
    """The state of the system does not allow the operation."""

    grpc_code = Code.FAILED_PRECONDITION
    class_text = "failed precondition"


class Aborted(LayerdiskError):
    """The operation was given up, usually because of another one."""

    grpc_code = Code.ABORTED
    class_text = "aborted"


class OutOfRange(LayerdiskError, ValueError):
    """A position or number outside of the valid range."""

    grpc_code = Code.OUT_OF_RANGE
    class_text = "out of range"


class NotImplemented(LayerdiskError, NotImplementedError):
    """Not done here; containerd then tries the next differ."""

    grpc_code = Code.UNIMPLEMENTED
    class_text = "not implemented"


class Internal(LayerdiskError, RuntimeError):
    """A fault of layerdisk itself."""

    grpc_code = Code.INTERNAL
    class_text = "internal"


class Unavailable(LayerdiskError):
    """Not possible now; trying again later may help."""

    grpc_code = Code.UNAVAILABLE
    class_text = "unavailable"


class DataLoss(LayerdiskError):
    """Data is missing or damaged."""

    grpc_code = Code.DATA_LOSS
    class_text = "data loss"


class Unauthenticated(LayerdiskError):
    """Credentials are missing or wrong."""

    grpc_code = Code.UNAUTHENTICATED
    class_text = "unauthenticated"


class Canceled(LayerdiskError):
    """The caller canceled the operation."""

    grpc_code = Code.CANCELLED
    class_text = "context canceled"


class DeadlineExceeded(LayerdiskError, TimeoutError):
    """The operation took longer than it was given."""

    grpc_code = Code.DEADLINE_EXCEEDED
    class_text = "context deadline exceeded"


class NoProcessor(LayerdiskError):
    """No processor leads from a media type to a plain layer tar (of class Unknown in containerd too)."""


class TruncatedStream(DataLoss, EOFError):
    """A compressed stream or a blob ends before it is complete."""


class NotVeritySuperBlock(InvalidArgument):
    """There is no dm-verity superblock where one should be."""


class SuperBlockParseFailure(InvalidArgument):
    """A dm-verity superblock has values that cannot be right."""


class SuperBlockReadFailure(DataLoss, EOFError):
    """The file ends before the dm-verity superblock does."""


class RootHashReadFailure(DataLoss, EOFError):
    """The file ends before the top block of the hash tree does."""


class VerificationFailed(DataLoss):
    """A verity device is not what its root hash says.

    Args:
        message: what was found.
        structure: "superblock", "hash block", "data block" or "VHD footer".
        block: number of the first bad block of that kind, where it has one.
        level: of a hash block: 0 is the one over the data.
        offset: in bytes, in the file that holds it.
        owner: of a data block of an ext4 file system: the file or structure that it belongs to.
    """

    def __init__(
        self,
        message: str,
        structure: str = "",
        block: int | None = None,
        level: int | None = None,
        offset: int | None = None,
        owner: str | None = None,
    ) -> None:
        super().__init__(message, structure, block, level, offset, owner)  # all, so that it survives pickling
        self.message = message
        self.structure = structure
        self.block = block
        self.level = level
        self.offset = offset
        self.owner = owner

    def __str__(self) -> str:
        """Return the message alone."""
        return self.message


class ConversionError(LayerdiskError):
    """A layer tar that cannot be converted.

    Args:
        message: what was found and what is allowed, without entry and offset.
        entry: name of the tar entry, raw bytes or the same decoded as UTF-8 with surrogateescape; None for
            a fault in a header whose name is not known yet.
        offset: byte offset in the plain tar, of the entry's first header block or of the faulty header.
        code: of docs/format.md, where the refusal is one that is listed there.
    """

    def __init__(
        self,
        message: str,
        entry: str | bytes | None = None,
        offset: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, entry, offset, code)  # all of args, so that it survives pickling
        self.message = message
        self.entry = entry.decode("utf-8", "surrogateescape") if isinstance(entry, bytes) else entry
        self.offset = offset
        self.code = code

    def __str__(self) -> str:
        """Prefix the message with the entry and the offset: the one place that does."""
        at = "" if self.offset is None else f" at byte {self.offset}"
        if self.entry is not None:
            return f"tar entry {quote(self.entry.encode('utf-8', 'surrogateescape'))}{at}: {self.message}"
        return f"tar header{at}: {self.message}" if at else self.message


class InvalidTar(ConversionError, InvalidArgument):
    """The archive is malformed."""


class TruncatedTar(InvalidTar, DataLoss, EOFError):
    """The archive ends early."""

    grpc_code = Code.DATA_LOSS
    class_text = DataLoss.class_text


class InvalidEntry(ConversionError, InvalidArgument):
    """A well-formed entry that cannot be put into the tree."""


class DiskSizeExceeded(ConversionError, ResourceExhausted):
    """The maximum disk size, or another fixed limit, is exceeded."""


class NotReproducible(ConversionError, FailedPrecondition):
    """Here hcsshim crashes or depends on chance, so its bytes cannot be reproduced."""


_CLASSES: tuple[type[LayerdiskError], ...] = (
    Unknown,
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    NotImplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
    Canceled,
    DeadlineExceeded,
)
_CLASS_OF_CODE = {cls.grpc_code: cls for cls in _CLASSES}

_CLASS_OF_ERRNO: dict[int, type[LayerdiskError]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ENOSPC: ResourceExhausted,
    errno.EFBIG: ResourceExhausted,
    errno.EMFILE: ResourceExhausted,
    errno.ENFILE: ResourceExhausted,
    errno.ENOMEM: ResourceExhausted,
    errno.EIO: DataLoss,
    errno.ETIMEDOUT: DeadlineExceeded,
    errno.ECANCELED: Canceled,
}
if hasattr(errno, "EDQUOT"):  # not on Windows' C library in every version
    _CLASS_OF_ERRNO[errno.EDQUOT] = ResourceExhausted
# For errors without a number, as libraries raise them.
_CLASS_OF_BUILTIN: tuple[tuple[type[OSError], type[LayerdiskError]], ...] = (
    (TimeoutError, DeadlineExceeded),
    (ConnectionError, Unavailable),
    (BlockingIOError, Unavailable),
    (FileNotFoundError, NotFound),
    (NotADirectoryError, NotFound),
    (FileExistsError, AlreadyExists),
    (PermissionError, PermissionDenied),
)


def to_grpc(error: BaseException) -> tuple[Code, str]:
    """Return the gRPC status of an error.

    Args:
        error: any exception; those that are not layerdisk's are Unknown, except time-outs.

    Returns:
        The code and the details text.

    Source: containerd errdefs, pkg/errgrpc (ToGRPC).
    """
    if isinstance(error, LayerdiskError):
        return error.grpc_code, str(error)
    if isinstance(error, TimeoutError):
        return Code.DEADLINE_EXCEEDED, str(error)
    return Code.UNKNOWN, str(error)


def from_grpc(code: int, message: str) -> LayerdiskError:
    """Make the exception for a gRPC status (to be raised by the caller).

    Args:
        code: status code, not OK; an unknown one gives Unknown.
        message: details text; the class text with which containerd ends it is removed.

    Returns:
        An exception of containerd's class for the code.

    Source: containerd errdefs, pkg/errgrpc (ToNative).
    """
    cls = _CLASS_OF_CODE.get(Code(code), Unknown) if code in set(Code) else Unknown
    return cls(message.removesuffix(f": {cls.class_text}"))


def from_os_error(error: OSError, message: str) -> LayerdiskError:
    """Make the exception of containerd's class for an operating system error (to be raised `from` it).

    Args:
        error: what the operating system said.
        message: what was being done.

    Returns:
        An exception whose text is "message: error". Its class is that of the error number; where there is none,
        or none that is known, that of the error's own class.

    >>> from_os_error(TimeoutError("timed out"), "reading the blob")
    DeadlineExceeded('reading the blob: timed out')
    """
    cls = _CLASS_OF_ERRNO.get(error.errno or 0)
    if cls is None:
        cls = next((found for base, found in _CLASS_OF_BUILTIN if isinstance(error, base)), Unknown)
    return cls(f"{message}: {error}")


def from_exception(error: Exception, message: str) -> LayerdiskError:
    """Make the exception for whatever a reader, a store or a library raised (to be raised `from` it).

    Args:
        error: any exception; one of layerdisk's is returned as it is.
        message: what was being done.
    """
    if isinstance(error, LayerdiskError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, message)
    if isinstance(error, MemoryError):
        return ResourceExhausted(f"{message}: out of memory")
    return Unknown(f"{message}: {type(error).__name__}: {error}")
