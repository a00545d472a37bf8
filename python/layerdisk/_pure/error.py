"""Names in messages; the exceptions themselves are those of `layerdisk.errdefs`."""

from __future__ import annotations

from ..errdefs import quote

__all__ = ["quote"]
