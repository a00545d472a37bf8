"""The parameters of a verity device, and which consumer takes which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .._record import Record
from ..errdefs import InvalidArgument
from ..options import VerityOptions

if TYPE_CHECKING:
    import uuid as _uuid

Algorithm: TypeAlias = Literal["sha256", "sha512"]
Profile: TypeAlias = Literal[
    "hcsshim",
    "containerd-erofs",
    "containerd-erofs-tar-index",
    "kata",
    "nydus-tarfs",
    "veritysetup",
    "systemd",
]
ZERO_SALT = bytes(32)


class Verity(Record):
    """What the hashes of a device depend on, and what is stored with them.

    Args:
        algorithm: "sha256" or "sha512".
        data_block_size: in bytes, a power of two from 512 to 524288.
        hash_block_size: in bytes, likewise.
        salt: 0 to 256 bytes, before each block that is hashed.
        superblock: store one, in a hash block of its own before the tree.
        uuid: for the superblock; None: derived from parameters, number of blocks and root hash.
        hash_offset: where superblock or tree start, in bytes; None: after the data, or at the start of a device of
            their own.

    Raises:
        InvalidArgument: a value is out of range.

    Example:
        >>> Verity.profile("hcsshim").salt.hex()[:8]
        '00000000'
        >>> Verity.profile("systemd", data_block_size=4096).hash_block_size
        512
    """

    _fields = (
        "algorithm",
        "data_block_size",
        "hash_block_size",
        "salt",
        "superblock",
        "uuid",
        "hash_offset",
    )
    __slots__ = _fields

    algorithm: Algorithm
    data_block_size: int
    hash_block_size: int
    salt: bytes
    superblock: bool
    uuid: bytes | None
    hash_offset: int | None

    def __init__(
        self,
        *,
        algorithm: Algorithm = "sha256",
        data_block_size: int = 4096,
        hash_block_size: int = 4096,
        salt: bytes = ZERO_SALT,
        superblock: bool = True,
        uuid: _uuid.UUID | bytes | None = None,
        hash_offset: int | None = None,
    ) -> None:
        if algorithm not in ("sha256", "sha512"):
            raise InvalidArgument(f'the hash algorithm is "{algorithm}": it must be "sha256" or "sha512"')
        for kind, size in [("data", data_block_size), ("hash", hash_block_size)]:
            if size & (size - 1) or not 512 <= size <= 524288:
                raise InvalidArgument(
                    f"the {kind} block size is {size}: it must be a power of two, 512 to 524288"
                )
        if len(salt) > 256:
            raise InvalidArgument(f"the salt has {len(salt)} bytes: it must have 0 to 256")
        if hash_offset is not None and (hash_offset < 0 or hash_offset % hash_block_size):
            raise InvalidArgument(
                f"the hash offset is {hash_offset}: it must be a multiple of the hash block size {hash_block_size}"
            )
        uuid_bytes = uuid if uuid is None or isinstance(uuid, bytes) else uuid.bytes
        if uuid_bytes is not None and (len(uuid_bytes) != 16 or not any(uuid_bytes)):
            raise InvalidArgument("the UUID of a verity device must have 16 bytes that are not all zero")
        self._fill(
            algorithm=algorithm,
            data_block_size=data_block_size,
            hash_block_size=hash_block_size,
            salt=bytes(salt),
            superblock=superblock,
            uuid=uuid_bytes,
            hash_offset=hash_offset,
        )

    @staticmethod
    def profile(name: Profile, **changes: Any) -> Verity:
        """Return the parameters that a consumer takes, with some changed.

        Raises:
            InvalidArgument: there is no such profile.
        """
        if name not in PROFILES:
            raise InvalidArgument(f'there is no profile "{name}": there are {", ".join(PROFILES)}')
        return Verity(**(PROFILES[name]._asdict() | changes))

    def options(self, **more: Any) -> VerityOptions:
        """Return the record that a core takes."""
        return VerityOptions(
            algorithm=self.algorithm,
            data_block_size=self.data_block_size,
            hash_block_size=self.hash_block_size,
            salt=self.salt,
            superblock=self.superblock,
            uuid=self.uuid,
            **more,
        )

    @property
    def digest_size(self) -> int:
        """Bytes of a digest."""
        return 32 if self.algorithm == "sha256" else 64

    @property
    def unit(self) -> int:
        """The larger block size: data that hashes follow is filled up to a multiple of it."""
        return max(self.data_block_size, self.hash_block_size)

    def level_blocks(self, data_blocks: int) -> list[int]:
        """Return the hash blocks of each level, from the one over the data up; none for a single data block."""
        levels: list[int] = []
        below = data_blocks
        while below > 1:
            below = -(-below * self.digest_size // self.hash_block_size)
            levels.append(below)
        return levels


# hcsshim, az confcom and LCOW; containerd's EROFS differ (its layers, and its index of a tar); Kata's volumes and
# mount options; Nydus' tarfs; veritysetup's defaults but for its random salt; systemd-repart 252, salt from its seed.
PROFILES: Mapping[str, Verity] = {
    "hcsshim": Verity(),
    "containerd-erofs": Verity(),
    "containerd-erofs-tar-index": Verity(data_block_size=512, hash_block_size=512),
    "kata": Verity(),
    "nydus-tarfs": Verity(data_block_size=512, hash_block_size=4096, salt=b"", superblock=False),
    "veritysetup": Verity(),
    "systemd": Verity(data_block_size=512, hash_block_size=512),
}
