"""Small layers, one per rule of docs/format.md or of the tar format, by name.

`layers.table` says what a row is.
"""

from __future__ import annotations

from layers.faults import FAULTS
from layers.headers import HEADERS
from layers.large import HUGE, LARGE
from layers.pax import PAX
from layers.plain import PLAIN
from layers.sparse import SPARSE
from layers.table import Layer, layer, outcome_of, pattern

__all__ = ["BY_NAME", "HUGE", "LARGE", "SMALL", "Layer", "layer", "outcome_of", "pattern"]

SMALL = [*PLAIN, *HEADERS, *PAX, *SPARSE, *FAULTS]
BY_NAME = {one.name: one for one in [*SMALL, *LARGE, *HUGE]}
assert len(BY_NAME) == len(SMALL) + len(LARGE) + len(HUGE), "two layers share a name"
