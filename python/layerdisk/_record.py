"""Results as objects that can get a field more without breaking anybody who uses those that there are.

Neither tuples, which people unpack and count, nor dataclasses, which take longer to load than a small layer to
convert.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

_R = TypeVar("_R", bound="Record")


class Record:
    """Fields by name, fixed once set: `_fields` lists them, `__init__` takes them as keywords and fills them."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    def _fill(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _asdict(self) -> dict[str, Any]:
        """Return the fields by name, as a named tuple does."""
        return {name: getattr(self, name) for name in self._fields}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a result stays as it was."""
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse, as setting."""
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        """Compare all fields with those of another of the same class."""
        if type(other) is not type(self):
            return NotImplemented
        return self._asdict() == other._asdict()

    def __hash__(self) -> int:
        """Return the hash of all fields."""
        return hash(tuple(self._asdict().values()))

    def __repr__(self) -> str:
        """Return what would make it again."""
        fields = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by field names, so that one of an older version can be read where there are more."""
        return _made, (type(self), self._asdict())


def _made(kind: type[_R], fields: dict[str, Any]) -> _R:
    return kind(**fields)
