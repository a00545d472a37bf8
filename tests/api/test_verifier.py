"""A blob is read to its end and held against its descriptor."""

from __future__ import annotations

import io

import pytest
from common import digest_of
from layerdisk import errdefs
from layerdisk.content import Verifier
from layerdisk.descriptor import Descriptor

DATA = b"some content " * 1000


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_verified_blob_reads_as_it_is(step: int) -> None:
    data = DATA[:100]
    verifier = Verifier(io.BytesIO(data), Descriptor("m", digest_of(data), len(data)))
    assert b"".join(iter(lambda: verifier.read(step), b"")) == data


@pytest.mark.parametrize(
    ("size", "digest", "cls", "message"),
    [
        (99, digest_of(DATA[:99]), errdefs.DataLoss, "blob {} is longer than its 99 bytes"),
        (101, digest_of(DATA[:100]), errdefs.TruncatedStream, "blob {} ends at byte 100 of 101"),
        (100, digest_of(b"x"), errdefs.DataLoss, f"blob {{}} has the digest {digest_of(DATA[:100])}"),
    ],
    ids=["longer", "shorter", "digest"],
)
@pytest.mark.parametrize("step", [1, 99, 1 << 20])
def test_a_blob_that_is_not_its_descriptors_is_an_error(
    step: int, size: int, digest: str, cls: type[Exception], message: str
) -> None:
    verifier = Verifier(io.BytesIO(DATA[:100]), Descriptor("m", digest, size))
    with pytest.raises(cls) as caught:
        list(iter(lambda: verifier.read(step), b""))
    assert str(caught.value) == message.format(digest)
