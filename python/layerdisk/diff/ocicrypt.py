"""Encrypted layers: containerd's decoders, and what they are told.

Source: containerd imgcrypt.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import media_types
from ..descriptor import Descriptor
from .chain import Payload
from .options import ApplyOpt, with_payloads
from .program import BinaryProcessor

_DECODER_ID = "io.containerd.ocicrypt.decoder.v1.tar"
_GZIP_DECODER_ID = _DECODER_ID + ".gzip"


def ocicrypt_decoders(
    keys_path: str = "/etc/containerd/ocicrypt/keys",
    *,
    path: str = "ctd-decoder",
    env: tuple[str, ...] = (
        "OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf",
    ),
) -> tuple[BinaryProcessor, ...]:
    """Return the processors of encrypted layers that containerd has by default.

    Args:
        keys_path: directory of private keys.
        path: of the decoder.
        env: "NAME=value" to add to its environment.

    Source: containerd cmd/containerd/command/config.go (streamProcessors).
    """
    args = ("--decryption-keys-path", keys_path)
    encrypted, gzip = "+encrypted", media_types.OCI_LAYER_GZIP
    return (
        BinaryProcessor(_GZIP_DECODER_ID, (gzip + encrypted,), gzip, path, args, env),
        BinaryProcessor(
            _DECODER_ID, (media_types.OCI_LAYER + encrypted,), media_types.OCI_LAYER, path, args, env
        ),
    )


def decryption_payloads(descriptor: Descriptor, private_keys: Sequence[bytes] = ()) -> dict[str, Payload]:
    """Return what the decoders of encrypted layers need to know about a layer; they can do nothing without it.

    Args:
        descriptor: of the encrypted blob; its annotations hold the wrapped keys.
        private_keys: keys without passwords, as in their files, besides those that the decoder finds itself.

    Returns:
        The payloads by processor id, for `LcowDiffer.apply(..., payloads=...)`. Their repr shows no key.

    Source: containerd imgcrypt, payload.go and images/encryption/client.go.
    """
    import base64
    import json

    keys = [base64.b64encode(key).decode() for key in private_keys]
    parameters = {"privkeys": keys, "privkeys-passwords": [""] * len(keys)} if keys else {}
    value = {
        "DecryptConfig": {"Parameters": parameters},
        "Descriptor": descriptor.to_json(),
    }
    payload = Payload("io.containerd.ocicrypt.v1.Payload", json.dumps(value).encode())
    return dict.fromkeys((_DECODER_ID, _GZIP_DECODER_ID), payload)


def with_decryption(descriptor: Descriptor, private_keys: Sequence[bytes] = ()) -> ApplyOpt:
    """Return the option for `payloads=decryption_payloads(descriptor, private_keys)`."""
    return with_payloads(decryption_payloads(descriptor, private_keys))
