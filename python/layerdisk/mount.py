"""Mounts: where containerd's snapshotter wants a layer to be.

Source: containerd core/mount/mount.go and mount_windows.go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errdefs import InvalidArgument
from .names import quote_text

PARENT_LAYER_PATHS = "parentLayerPaths="


@dataclass(frozen=True, slots=True)
class Mount:
    """What a mount system call needs to know.

    Attributes:
        type: "lcow-layer" for the LCOW differ.
        source: path of the snapshot's directory.
        target: directory below the mount point, usually empty.
        options: as in fstab.
    """

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()

    def parent_layer_paths(self) -> tuple[str, ...]:
        """Return the directories of the parent layers, nearest first.

        Returns:
            The JSON array of the last `parentLayerPaths=` option; nothing where there is none or it is null.

        Raises:
            InvalidArgument: the option is not a JSON array of strings.

        >>> Mount("lcow-layer", "C:/snapshot", options=('parentLayerPaths=["C:/base"]',)).parent_layer_paths()
        ('C:/base',)

        Source: containerd core/mount/mount_windows.go (GetParentPaths).
        """
        paths: tuple[str, ...] = ()
        for option in self.options:
            if option.startswith(PARENT_LAYER_PATHS):
                paths = _string_array(option)
        return paths

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object with the names that Go gives its fields."""
        return {
            "Type": self.type,
            "Source": self.source,
            "Target": self.target,
            "Options": list(self.options),
        }

    @classmethod
    def from_json(cls, value: object) -> Mount:
        """Read the JSON object; names in any case, as Go does.

        Raises:
            InvalidArgument: it is not of that form.
        """
        if not isinstance(value, dict):
            raise InvalidArgument("mount is not a JSON object")
        fields = {str(key).lower(): item for key, item in value.items() if item is not None}
        kind, source, target = fields.get("type", ""), fields.get("source", ""), fields.get("target", "")
        options = fields.get("options", [])
        if not isinstance(options, list) or not all(
            isinstance(text, str) for text in (kind, source, target, *options)
        ):
            raise InvalidArgument(
                "mount: Type, Source and Target must be strings and Options an array of strings"
            )
        return cls(kind, source, target, tuple(options))


def _string_array(option: str) -> tuple[str, ...]:
    text = option.removeprefix(PARENT_LAYER_PATHS)
    try:
        paths = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"mount option {quote_text(option)} is not JSON: {error}") from error
    if paths is None:
        return ()
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidArgument(f"mount option {quote_text(option)} is not a JSON array of strings")
    return tuple(paths)
