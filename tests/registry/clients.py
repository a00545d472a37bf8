"""Clients for registries on loopback, and a blob that they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from layerdisk.descriptor import Descriptor
from layerdisk.registry import CredentialStore, RegistryClient, RegistryOptions, parse_reference
from layerdisk.registry.blob import BlobReader
from servers import digest_of

BLOB = bytes(range(256)) * 4096
DIGEST = digest_of(BLOB)


def client_for(address: str, path: str = "a/b", **options: Any) -> RegistryClient:
    slept: list[float] = options.pop("slept", [])
    actions = options.pop("actions", "pull")
    made = RegistryOptions(
        **{"credentials": CredentialStore([]), "sleep": slept.append, "read_seconds": 10.0, **options}
    )
    return RegistryClient(parse_reference(f"{address}/{path}"), made, actions=actions)


def blob_reader(address: str, **options: Any) -> BlobReader:
    return BlobReader(client_for(address, **options), Descriptor("x/y", DIGEST, len(BLOB)))


def credentials_file(directory: Path, host: str, **entry: str) -> CredentialStore:
    path = directory / "auth.json"
    path.write_text(json.dumps({"auths": {host: entry}}))
    return CredentialStore([path])
