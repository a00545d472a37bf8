"""Small layers, one per rule of docs/format.md or of the tar format, by name.

Names that start with a fault code (B2, N7, ...) trigger that fault; `findings` says what the default mode
then records with whiteouts converted and every other option off, `refusal` with which code it refuses.
"""

from __future__ import annotations

from layers.faults import FAULTS
from layers.headers import HEADERS
from layers.large import HUGE, LARGE
from layers.pax import PAX
from layers.plain import PLAIN
from layers.sparse import SPARSE
from layers.table import Layer, layer, pattern

__all__ = ["BY_NAME", "HUGE", "LARGE", "SMALL", "Layer", "layer", "pattern"]

SMALL = [*PLAIN, *HEADERS, *PAX, *SPARSE, *FAULTS]
BY_NAME = {one.name: one for one in [*SMALL, *LARGE, *HUGE]}
assert len(BY_NAME) == len(SMALL) + len(LARGE) + len(HUGE), "two layers share a name"
