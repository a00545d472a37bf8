"""What a verity device is, in the words of each of its consumers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from .._record import Record
from ..errdefs import InvalidArgument
from .parameters import Verity

_SECTOR = 512
_KATA_MOST_BLOCKS = 2**32 - 1
_KATA_VOLUME_TYPES = (
    "direct_block",
    "image_raw_block",
    "layer_raw_block",
    "image_nydus_block",
    "layer_nydus_block",
)
_SIDECAR_LIMIT = 65536


class VerityInfo(Record):
    """A verity device: hcsshim's fields under its names, and where everything is.

    Attributes:
        hash_offset_in_blocks: of the superblock or tree, in hash blocks.
        super_block: whether there is a superblock.
        root_digest: in hexadecimal digits.
        salt: in hexadecimal digits.
        algorithm: "sha256" or "sha512".
        data_block_size: in bytes.
        hash_block_size: in bytes.
        data_blocks: that are covered.
        version: of the superblock; 1.
        hash_offset: of the superblock or tree, in bytes.
        tree_size: bytes of the hash tree, the superblock left out.
        uuid: of the superblock, in its printed form; empty where there is none.
        separate: whether the hashes are in a file of their own.

    Source: hcsshim, ext4/dmverity (VerityInfo).
    """

    _fields = (
        "hash_offset_in_blocks",
        "super_block",
        "root_digest",
        "salt",
        "algorithm",
        "data_block_size",
        "hash_block_size",
        "data_blocks",
        "version",
        "hash_offset",
        "tree_size",
        "uuid",
        "separate",
    )
    __slots__ = _fields

    hash_offset_in_blocks: int
    super_block: bool
    root_digest: str
    salt: str
    algorithm: str
    data_block_size: int
    hash_block_size: int
    data_blocks: int
    version: int
    hash_offset: int
    tree_size: int
    uuid: str
    separate: bool

    def __init__(
        self,
        *,
        root_digest: str,
        data_blocks: int,
        hash_offset: int,
        super_block: bool = True,
        salt: str = "00" * 32,
        algorithm: str = "sha256",
        data_block_size: int = 4096,
        hash_block_size: int = 4096,
        version: int = 1,
        tree_size: int = 0,
        uuid: str = "",
        separate: bool = False,
        hash_offset_in_blocks: int | None = None,
    ) -> None:
        in_blocks = hash_offset // hash_block_size if hash_offset_in_blocks is None else hash_offset_in_blocks
        self._fill(
            hash_offset_in_blocks=in_blocks,
            super_block=super_block,
            root_digest=root_digest,
            salt=salt,
            algorithm=algorithm,
            data_block_size=data_block_size,
            hash_block_size=hash_block_size,
            data_blocks=data_blocks,
            version=version,
            hash_offset=hash_offset,
            tree_size=tree_size,
            uuid=uuid,
            separate=separate,
        )

    @property
    def data_size(self) -> int:
        """Bytes that are covered."""
        return self.data_blocks * self.data_block_size

    @property
    def tree_start_block(self) -> int:
        """First block of the tree, after any superblock, in hash blocks from the start of the hash device."""
        return self.hash_offset_in_blocks + self.super_block

    def table(self, data_device: str, hash_device: str | None = None, options: Sequence[str] = ()) -> str:
        """Return the line of the device mapper's table.

        Args:
            data_device: path or major:minor.
            hash_device: likewise; by default the data device.
            options: of the kernel's list, e.g. "panic_on_corruption"; one with values is several words.

        Source: Linux, Documentation/admin-guide/device-mapper/verity.rst.
        """
        words = [option for text in options for option in text.split()]
        fields = [
            "0",
            str(self.data_size // _SECTOR),
            "verity",
            "1",
            data_device,
            hash_device or data_device,
            str(self.data_block_size),
            str(self.hash_block_size),
            str(self.data_blocks),
            str(self.tree_start_block),
            self.algorithm,
            self.root_digest,
            self.salt or "-",
        ]
        return " ".join(fields + ([str(len(words)), *words] if words else []))

    def kernel_command_line(
        self,
        data_device: str,
        hash_device: str | None = None,
        *,
        form: str = "dm-mod",
        name: str = "vroot",
        options: Sequence[str] = (),
    ) -> str:
        """Return what makes a kernel, or systemd in its initramfs, set the device up as the root.

        Args:
            data_device: as in `table`.
            hash_device: likewise.
            form: "dm-mod" (dm-mod.create) or "systemd" (systemd.verity_root_*; needs a superblock).
            name: of the device that the kernel makes.
            options: as in `table`.

        Source: Linux, Documentation/admin-guide/device-mapper/dm-init.rst; systemd-veritysetup-generator(8).
        """
        if form == "dm-mod":
            uuid = self.uuid.replace("-", "") and f"CRYPT-VERITY-{self.uuid.replace('-', '')}-{name}"
            table = self.table(data_device, hash_device, options)
            return f'dm-mod.create="{name},{uuid},,ro,{table}" root=/dev/dm-0 ro'
        if form != "systemd":
            raise InvalidArgument(f'the form is "{form}": it must be "dm-mod" or "systemd"')
        if not self.super_block:
            raise InvalidArgument("systemd reads the parameters from a superblock, and there is none")
        words = [
            f"roothash={self.root_digest}",
            f"systemd.verity_root_data={data_device}",
            f"systemd.verity_root_hash={hash_device or data_device}",
        ]
        given = [*options, *([] if self.separate else [f"hash-offset={self.hash_offset}"])]
        if given:
            words.append(f"systemd.verity_root_options={','.join(given)}")
        return " ".join(words)

    def containerd_sidecar(self) -> str:
        """Return the content of containerd's `.dmverity` file beside an EROFS layer, which Kata reads too.

        Raises:
            InvalidArgument: there is no superblock, or a UUID of zeros.

        Source: containerd, internal/dmverity.
        """
        if not self.super_block or not self.uuid.strip("0-"):
            raise InvalidArgument("containerd reads the parameters from a superblock with a UUID")
        fields: dict[str, Any] = {"roothash": self.root_digest, "hashoffset": self.hash_offset}
        if self.salt != "00" * 32:
            fields["salt"] = self.salt
        text = json.dumps(fields)
        assert len(text) <= _SIDECAR_LIMIT
        return text

    def kata_volume(
        self,
        source: str,
        *,
        fs_type: str = "ext4",
        volume_type: str = "layer_raw_block",
        options: Sequence[str] = ("ro",),
    ) -> str:
        """Return the mount option that carries a KataVirtualVolume: base64 of its JSON.

        Args:
            source: path of the image on the host.
            fs_type: of the file system in it.
            volume_type: of Kata's list.
            options: of the mount in the guest.

        Raises:
            InvalidArgument: Kata does not take such a device.

        Source: kata-containers, src/runtime/virtcontainers/types/virtual_volume.go.
        """
        if volume_type not in _KATA_VOLUME_TYPES:
            raise InvalidArgument(
                f'the volume type is "{volume_type}": it must be one of {", ".join(_KATA_VOLUME_TYPES)}'
            )
        if not 0 < self.data_blocks <= _KATA_MOST_BLOCKS:
            raise InvalidArgument(
                f"there are {self.data_blocks} data blocks: Kata takes 1 to {_KATA_MOST_BLOCKS}"
            )
        if self.separate or self.hash_offset < self.data_size:
            raise InvalidArgument("Kata wants the hashes after the data, in the same file")
        verity: dict[str, Any] = {
            "hashtype": self.algorithm,
            "hash": self.root_digest,
            "blocknum": self.data_blocks,
            "blocksize": self.data_block_size,
            "hashsize": self.hash_block_size,
            "offset": self.hash_offset,
        }
        if not self.super_block:
            verity |= {"no_superblock": True, "salt": self.salt}
        volume = {
            "volume_type": volume_type,
            "source": source,
            "fs_type": fs_type,
            "options": list(options),
            "dm_verity": verity,
        }
        text = json.dumps(volume, separators=(",", ":"))
        return f"io.katacontainers.volume={base64.b64encode(text.encode()).decode()}"

    def x_kata_options(self) -> list[str]:
        """Return the mount options of Kata's multi-layer storage for one layer.

        Source: kata-containers, src/agent/src/storage/multi_layer_erofs.rs.
        """
        values = {
            "roothash": self.root_digest,
            "hashoffset": self.hash_offset,
            "blocksize": self.data_block_size,
            "hashsize": self.hash_block_size,
            "algorithm": self.algorithm,
            "salt": self.salt,
            "hashtype": 1,
            "no-superblock": "false" if self.super_block else "true",
        }
        return [
            "X-kata.dmverity-enabled=true",
            *(f"X-kata.dmverity.{name}={value}" for name, value in values.items()),
        ]


def confcom_layers(layers: Iterable[VerityInfo | str]) -> str:
    """Return the JSON that az confcom takes from its root hash program.

    Args:
        layers: of one image, base first: devices, or root hashes in hexadecimal digits.

    Raises:
        InvalidArgument: a layer is not as hcsshim makes it, so that no policy can allow it.

    Source: azure-cli-extensions, src/confcom.
    """
    hashes = []
    for layer in layers:
        if isinstance(layer, str):
            digest = layer.lower()
        elif verity_of(layer) != Verity() or not layer.super_block:
            raise InvalidArgument(
                "the guest of a policy takes blocks of 4096 bytes, sha256, a salt of 32 zero bytes and a superblock"
            )
        else:
            digest = layer.root_digest
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InvalidArgument(f'the root hash "{digest}" must have 64 hexadecimal digits')
        hashes.append(digest)
    return json.dumps({"layers": hashes})


def verity_of(info: VerityInfo) -> Verity:
    """Return the parameters of a device, without its UUID and place."""
    return Verity(
        algorithm=info.algorithm,  # type: ignore[arg-type]  # checked at run time
        data_block_size=info.data_block_size,
        hash_block_size=info.hash_block_size,
        salt=bytes.fromhex(info.salt),
        superblock=info.super_block,
    )
