"""Registries of container images: a client of the OCI distribution specification, as registries are really met.

`RegistryClient` talks to one repository's host: tokens, retries, redirects, blobs that resume where they broke off.
Needs the extra `layerdisk[registry]` (urllib3). Blobs and manifests are checked by digest by whoever reads them
(`layerdisk.content.Verifier`); nothing here trusts what a registry says of itself.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import RegistryClient, RegistryOptions
    from .credentials import Credentials, CredentialStore
    from .reference import Reference, parse_reference

__all__ = [
    "CredentialStore",
    "Credentials",
    "Reference",
    "RegistryClient",
    "RegistryOptions",
    "parse_reference",
]

_MODULES = {
    "CredentialStore": "credentials",
    "Credentials": "credentials",
    "Reference": "reference",
    "RegistryClient": "client",
    "RegistryOptions": "client",
    "parse_reference": "reference",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
