"""Which image: by name, by digest, by platform.

Indexes are filtered by platform before they are read, and each is read once. Attestations and artifacts are passed
over. Among the variants of one image the best that runs is taken; two images that still fit are an error that names
both.

Source: containerd core/images/image.go (Manifest), containerd/platforms; OCI image-spec, image-index.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .. import media_types
from ..content import Provider
from ..descriptor import Descriptor, Platform
from ..errdefs import InvalidArgument, LayerdiskError, NotFound
from ..names import quote_text
from ..platforms import Matcher, host_platform
from .document import Documents, array, descriptors
from .manifest import Image, Manifest, look_at, read_manifest

REF_NAME = "org.opencontainers.image.ref.name"  # a tag, or any other name
FULL_NAME = "io.containerd.image.name"  # with registry and tag
_REFERENCE_TYPE = (
    "vnd.docker.reference.type"  # what BuildKit attaches to an image, e.g. "attestation-manifest"
)
_UNKNOWN = "unknown"  # operating system and architecture of what is not meant to run
_MAX_ENTRIES = 100_000  # descriptors that are looked at to find one image
_MAX_LISTED = 10  # images that an error lists


def find_image(
    provider: Provider,
    index: Sequence[Descriptor],
    ref: str | None = None,
    platform: Platform | None = None,
    *,
    where: str,
) -> Image:
    """Return the one image that is meant.

    Args:
        provider: of the blobs.
        index: what the source lists.
        ref: a tag, a full name, a digest, or a name and a digest with "@" between; None for any.
        platform: that the image must be for. By default that of Linux on this machine, or, where there is only one
            image, whatever that is for.
        where: the source, for messages.

    Raises:
        NotFound: no such image, or a missing blob.
        InvalidArgument: several images fit, or a document is malformed.
        DataLoss: a blob is not what its descriptor says.
    """
    search = _Search(provider, where, ref)
    return read_manifest(search.documents, search.choose(index, platform))


class _Entry(NamedTuple):
    """A descriptor on the way down from the index."""

    descriptor: Descriptor
    platform: Platform | None  # its own, or that of the nearest index above
    is_chosen: bool  # by its digest or that of an index above


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest of an image.

    Attributes:
        descriptor: of the manifest.
        names: of the entry of the source's index that leads to it.
        platform: what the image is for, None if nothing says so.
    """

    descriptor: Descriptor
    names: tuple[str, ...]
    platform: Platform | None


class _Search:
    """One search for an image, with what it has read and what it has passed over."""

    def __init__(self, provider: Provider, where: str, ref: str | None) -> None:
        self.documents = Documents(provider)
        self._where = where
        self._ref = ref
        self._name, self._digest = _split(ref)
        self._children: dict[str, list[Descriptor]] = {}
        self._manifests: dict[str, Manifest] = {}
        self._left = _MAX_ENTRIES
        self._artifacts: dict[str, str] = {}  # what was passed over, by digest
        self._failures: dict[str, LayerdiskError] = {}  # what is not there, by digest

    def choose(self, index: Sequence[Descriptor], platform: Platform | None) -> Descriptor:
        """Return the manifest of the image that is meant."""
        self._count(len(index))
        named = [entry for entry in index if self._name is None or _is_named(entry, self._name)]
        matcher = Matcher(platform or host_platform())
        fitting = self._best(named, matcher)
        if not fitting:
            self._raise_failure()  # the image that fits is listed, and is not there
            everything = _distinct(self._found(named, None))
            if platform is None and len(everything) == 1 and not self._failures:
                return everything[0].descriptor
            raise self._not_found(index, everything, platform or matcher.wanted)
        if len(fitting) > 1:
            raise InvalidArgument(
                f"several images in {self._where} fit {matcher.wanted}; "
                f"choose one by its name or digest: {_listed(fitting)}"
            )
        return fitting[0].descriptor

    def _best(self, named: Sequence[Descriptor], matcher: Matcher) -> list[_Found]:
        """Return the best image of each name, and of those that run only as an older architecture none if others do."""
        best: list[tuple[int, _Found]] = []
        for group in _by_name(named).values():
            ranked = [(_rank(found, matcher), found) for found in self._found(group, matcher)]
            lowest = min((rank for rank, _ in ranked), default=0)
            best += [(rank, found) for rank, found in ranked if rank == lowest]
        native = [found for _, found in best if _architecture(found) == matcher.wanted.architecture]
        return _distinct(native or [found for _, found in best])

    def _found(self, top: Sequence[Descriptor], matcher: Matcher | None) -> Iterator[_Found]:
        """Yield the images that entries lead to, and that fit; with `None` all."""
        for names, group in _by_name(top).items():
            for reached in self._reached(group, matcher):
                found = self._look_at(reached, names)
                if found and (
                    matcher is None or (found.platform and matcher.rank(found.platform) is not None)
                ):
                    yield found

    def _reached(self, top: Sequence[Descriptor], matcher: Matcher | None) -> Iterator[_Entry]:
        """Yield the manifests that entries lead to, as far as their descriptors fit."""
        ahead = [
            _Entry(entry, _stated(entry), self._digest in (None, entry.digest)) for entry in reversed(top)
        ]
        seen = set()
        while ahead:
            entry = ahead.pop()
            descriptor = entry.descriptor
            rank = matcher.rank(entry.platform) if matcher and entry.platform else -1
            key = (descriptor.digest, rank, entry.is_chosen)
            if key in seen or rank is None or self._is_passed_over(descriptor):
                continue
            seen.add(key)
            if media_types.is_manifest(descriptor.media_type):
                if entry.is_chosen:
                    yield entry
            elif media_types.is_index(descriptor.media_type):
                children = self._read_index(descriptor)
                self._count(len(children))
                ahead += [
                    _Entry(
                        child,
                        _stated(child) or entry.platform,
                        entry.is_chosen or self._digest == child.digest,
                    )
                    for child in reversed(children)
                ]
            else:
                self._artifacts[descriptor.digest] = f"content of type {quote_text(descriptor.media_type)}"

    def _is_passed_over(self, descriptor: Descriptor) -> bool:
        stated = descriptor.platform
        if kind := descriptor.annotations.get(_REFERENCE_TYPE):
            reason = f"an attachment of type {quote_text(kind)}"
        elif descriptor.artifact_type:
            reason = f"an artifact of type {quote_text(descriptor.artifact_type)}"
        elif stated and _UNKNOWN in (stated.os, stated.architecture):
            reason = f"an artifact for the platform {stated}"
        else:
            return False
        self._artifacts[descriptor.digest] = reason
        return True

    def _read_index(self, descriptor: Descriptor) -> list[Descriptor]:
        digest = descriptor.digest
        if digest not in self._children:
            try:
                items = array(digest, self.documents.read(descriptor), "manifests")
            except NotFound as error:
                self._failures[digest] = error
                items = []
            self._count(len(items))
            self._children[digest] = descriptors(items)
        return self._children[digest]

    def _look_at(self, entry: _Entry, names: tuple[str, ...]) -> _Found | None:
        descriptor = entry.descriptor
        if descriptor.digest not in self._manifests:
            try:
                self._manifests[descriptor.digest] = look_at(self.documents, descriptor)
            except NotFound as error:  # a layout may hold some of its index's images only
                self._failures[descriptor.digest] = error
                return None
        manifest = self._manifests[descriptor.digest]
        if manifest.artifact:
            self._artifacts[descriptor.digest] = manifest.artifact
            return None
        return _Found(descriptor, names, entry.platform or manifest.platform)

    def _count(self, entries: int) -> None:
        self._left -= entries
        if self._left < 0:
            raise InvalidArgument(
                f"the index of {self._where} leads to too many entries, more than {_MAX_ENTRIES}"
            )

    def _not_found(
        self, index: Sequence[Descriptor], everything: Sequence[_Found], platform: Platform
    ) -> LayerdiskError:
        """Return the error that says what is not there, and what is."""
        if not everything:
            self._raise_failure()
        image = f"image {quote_text(self._ref)}" if self._ref is not None else "image"
        if everything:
            return NotFound(f"no {image} for {platform} in {self._where}; there is {_listed(everything)}")
        reasons = [
            f"{digest} is {reason}"
            for digest, reason in self._artifacts.items()
            if self._digest in (None, digest)
        ]
        self._name = self._digest = None
        others = _distinct(self._found(index, None)) if self._ref is not None else []
        there = [f"there is {_listed(others)}"] if others else []
        return NotFound("; ".join([f"no {image} in {self._where}", *_cut(reasons), *there]))

    def _raise_failure(self) -> None:
        for error in self._failures.values():
            raise error


def _split(ref: str | None) -> tuple[str | None, str | None]:
    """Return the name and the digest that a reference asks for."""
    if ref is None:
        return None, None
    name, at, digest = ref.rpartition("@")
    if at:
        return name or None, digest
    return (None, ref) if ref.startswith(("sha256:", "sha384:", "sha512:")) else (ref, None)


def _names(entry: Descriptor) -> tuple[str, ...]:
    names = (entry.annotations.get(FULL_NAME, ""), entry.annotations.get(REF_NAME, ""))
    return tuple(dict.fromkeys(filter(None, names)))


def _is_named(entry: Descriptor, name: str) -> bool:
    full = entry.annotations.get(FULL_NAME, "")
    return name in _names(entry) or (bool(full) and _complete(full) == _complete(name))


def _complete(name: str) -> str:
    """Return a name with the registry, the repository and the tag that Docker adds to short ones.

    >>> _complete("alpine")
    'docker.io/library/alpine:latest'

    Source: distribution/reference, normalize.go.
    """
    host, slash, path = name.partition("/")
    if not slash or not (set(host) & set(".:") or host == "localhost"):
        host, path = "docker.io", name
    if host == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return f"{host}/{path}" if ":" in path.rpartition("/")[2] else f"{host}/{path}:latest"


def _by_name(entries: Iterable[Descriptor]) -> dict[tuple[str, ...], list[Descriptor]]:
    groups: dict[tuple[str, ...], list[Descriptor]] = {}
    for entry in entries:
        groups.setdefault(_names(entry), []).append(entry)
    return groups


def _stated(descriptor: Descriptor) -> Platform | None:
    platform = descriptor.platform
    return platform if platform and (platform.os or platform.architecture) else None


def _rank(found: _Found, matcher: Matcher) -> int:
    rank = matcher.rank(found.platform) if found.platform else None
    assert rank is not None  # `_found` yields nothing else
    return rank


def _architecture(found: _Found) -> str:
    return Matcher(found.platform).wanted.architecture if found.platform else ""


def _distinct(found: Iterable[_Found]) -> list[_Found]:
    """Return each image once, with all names that lead to it."""
    images: dict[str, _Found] = {}
    for image in found:
        known = images.get(image.descriptor.digest)
        names = dict.fromkeys(known.names + image.names) if known else image.names
        images[image.descriptor.digest] = _Found(image.descriptor, tuple(names), image.platform)
    return list(images.values())


def _listed(images: Sequence[_Found]) -> str:
    """Return a list of images with the names that lead to one of them only, and the digests."""
    counts: dict[str, int] = {}
    for image in images:
        for name in image.names:
            counts[name] = counts.get(name, 0) + 1
    texts = []
    for image in images:
        unique = [name for name in image.names if counts[name] == 1]
        names = "".join(f"{quote_text(name)} " for name in unique)
        texts.append(f"{names}{image.descriptor.digest} ({image.platform or 'platform not named'})")
    return ", ".join(_cut(texts))


def _cut(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _MAX_LISTED
    return [*texts[:_MAX_LISTED], *([f"{more} more"] if more > 0 else [])]
