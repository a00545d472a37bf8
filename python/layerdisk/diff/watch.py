"""Watches over one apply: its callbacks, its cancellation, its checks, and the classes of its errors."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..cancel import Cancellation, checker
from ..content import ContentReader, Provider, Verifier
from ..descriptor import Descriptor, parse_digest
from ..errdefs import Canceled, FailedPrecondition, LayerdiskError, from_exception
from ..io import Readable
from .options import ApplyConfig
from .readers import AbandonableReader, CancelableTar, may_hang

_T = TypeVar("_T")


class Watch:
    """What an apply has besides the way of its data.

    Args:
        config: what was asked for.

    Attributes:
        progress: the callback, as the conversion is to call it; None if there is none.

    Raises:
        InvalidArgument: the diffID is not a digest.
    """

    def __init__(self, config: ApplyConfig) -> None:
        self._config = config
        self._callback_error: BaseException | None = None
        self._asked = self._guarded(checker(config.cancel))
        self._algorithm = parse_digest(config.diff_id)[0] if config.diff_id else "sha256"
        self._tar_hash = None if self._algorithm == "sha256" else hashlib.new(self._algorithm)
        self._over = Cancellation()
        self.progress = None if config.progress is None else self._guarded(config.progress)

    def check(self) -> None:
        """Raise Canceled if nobody wants the result any more."""
        self._over.check()
        self._asked()

    def is_over(self) -> bool:
        """Tell whether nobody wants the result any more, or the apply is over."""
        if self._over.is_canceled:
            return True
        try:
            self._asked()
        except Canceled:
            return True
        return False

    @contextlib.contextmanager
    def typed_errors(self, doing: str) -> Iterator[None]:
        """Let exceptions of callbacks pass, and give every other one a class of ours."""
        try:
            yield
        except Exception as error:
            if self._callback_error is not None:
                if error is self._callback_error:
                    raise
                raise self._callback_error from error
            try:
                self._asked()  # before what the cancellation led to, such as that a program was killed
            except Canceled as canceled:
                raise canceled from error
            if isinstance(error, LayerdiskError):
                raise
            raise from_exception(error, doing) from error

    @contextlib.contextmanager
    def opened(self, store: Provider, desc: Descriptor, has_programs: bool) -> Iterator[Readable]:
        """Open the blob, with a check on it unless that is turned off."""
        reader: ContentReader = store.reader(desc)
        if may_hang(reader) and (has_programs or self._config.cancel is not None):
            try:
                reader = AbandonableReader(reader, self.check)
            except BaseException:
                reader.close()
                raise
        with contextlib.closing(reader):
            report = self._config.blob_progress
            blob = _Blob(reader, desc, None if report is None else self._guarded(report))
            yield Verifier(blob, desc) if self._config.check_blob else blob

    @contextlib.contextmanager
    def tar(self, plain: Readable) -> Iterator[Readable]:
        """Watch the plain tar; leaving the context ends whatever still waits for something."""
        try:
            tar = plain if self._config.cancel is None else CancelableTar(plain, self.check)
            yield tar if self._tar_hash is None else _Hashing(tar, self._tar_hash)
        finally:
            self._over.cancel("the apply is over")

    def check_diff_id(self, digest: str) -> None:
        """Compare the diffID asked for, if one was, with that of the tar, which has been read to its end.

        Args:
            digest: the tar's SHA-256.
        """
        wanted = self._config.diff_id
        found = digest if self._tar_hash is None else f"{self._algorithm}:{self._tar_hash.hexdigest()}"
        if wanted and found != wanted:
            raise FailedPrecondition(f"wrong diff id: the layer is {found}, the image's config says {wanted}")

    def _guarded(self, callback: Callable[..., _T]) -> Callable[..., _T]:
        """Return a callback whose exception is remembered, since it may reach us on many ways."""

        def call(*arguments: object) -> _T:
            try:
                return callback(*arguments)
            except Canceled:  # the caller's own class for it, or ours
                raise
            except BaseException as error:
                self._callback_error = error
                raise

        return call


class _Blob:
    """The store's reader: its errors get a class of ours where they come up, and it reports how far it is."""

    def __init__(
        self, reader: ContentReader, desc: Descriptor, progress: Callable[[int], object] | None
    ) -> None:
        self._reader = self.reads_from = reader
        self._doing = f"reading blob {desc.digest}"
        self._progress = progress
        self._seen = 0

    def read(self, size: int, /) -> bytes | None:
        try:
            piece = self._reader.read(size)
        except Exception as error:
            if isinstance(error, ValueError) and getattr(self._reader, "closed", False):
                raise FailedPrecondition(f"{self._doing}: {error}") from error
            raise from_exception(error, self._doing) from error
        if self._progress is not None:
            self._seen += len(piece or b"")
            self._progress(self._seen)
        return piece


class _Hashing:
    """A reader that hashes what it gives, for diffIDs that are not SHA-256."""

    def __init__(self, reader: Readable, digest: hashlib._Hash) -> None:
        self._reader = self.reads_from = reader
        self._digest = digest

    def read(self, size: int, /) -> bytes | None:
        piece = self._reader.read(size)
        self._digest.update(piece or b"")
        return piece
