"""The order in which hcsshim leaves the entries of an xattr block.

Its comparison is no order (neither transitive nor antisymmetric: B2), so the outcome is that of one
particular algorithm: insertion sort up to 12 items, the pattern-defeating quicksort of Peters beyond,
in the variant of Go's library. docs/format.md gives the rules by the letters used here (Q1 to Q8).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..format.xattr import XattrEntry

_INSERTION_MAX = 12
_NINTHER_MIN = 50
_CHEAP_PASS_ROUNDS = 5
# Number of swaps in a ninther of a descending range.
_FALLING_EXCHANGES = 12


def sort(items: list[XattrEntry]) -> None:
    """Sort in place."""
    _Sorter(items).sort(0, len(items), len(items).bit_length())


class _Hint(enum.Enum):
    NONE = enum.auto()
    RISING = enum.auto()
    FALLING = enum.auto()


class _Sorter:
    def __init__(self, items: list[XattrEntry]) -> None:
        self._items = items

    def sort(self, a: int, b: int, budget: int) -> None:
        balanced = partitioned = True
        while True:
            n = b - a
            if n <= _INSERTION_MAX:
                return self._insertion_sort(a, b)
            if budget == 0:
                return self._heap_sort(a, b)
            if not balanced:
                self._scatter(a, b)
                budget -= 1
            pivot, hint = self._choose_pivot(a, b)
            if hint is _Hint.FALLING:
                self._items[a:b] = self._items[a:b][::-1]
                pivot = a + b - 1 - pivot
                hint = _Hint.RISING
            if balanced and partitioned and hint is _Hint.RISING and self._cheap_pass(a, b):
                return None
            middle, partitioned = self._partition(a, b, pivot)
            left, right = middle - a, b - middle
            if left < right:
                balanced = left >= n // 8
                self.sort(a, middle, budget)
                a = middle + 1
            else:
                balanced = right >= n // 8
                self.sort(middle + 1, b, budget)
                b = middle

    def _less(self, x: int, y: int) -> bool:
        """Tell whether the item now at `x` is less than the one at `y`; one of three comparisons suffices."""
        one, other = self._items[x], self._items[y]
        return one.name_index < other.name_index or len(one.name) < len(other.name) or one.name < other.name

    def _exchange(self, x: int, y: int) -> None:
        items = self._items
        items[x], items[y] = items[y], items[x]

    def _insertion_sort(self, a: int, b: int) -> None:
        for i in range(a + 1, b):
            self._carry_left(a, i)

    def _carry_left(self, a: int, j: int) -> None:
        while j > a and self._less(j, j - 1):
            self._exchange(j, j - 1)
            j -= 1

    def _choose_pivot(self, a: int, b: int) -> tuple[int, _Hint]:
        n = b - a
        quarter = n // 4
        exchanges = 0
        candidates = [a + quarter, a + 2 * quarter, a + 3 * quarter]
        if n >= _NINTHER_MIN:
            for i, c in enumerate(candidates):
                candidates[i], counted = self._median(c - 1, c, c + 1)
                exchanges += counted
        pivot, counted = self._median(*candidates)
        exchanges += counted
        if exchanges == 0:
            return pivot, _Hint.RISING
        return pivot, _Hint.FALLING if exchanges == _FALLING_EXCHANGES else _Hint.NONE

    def _median(self, x: int, y: int, z: int) -> tuple[int, int]:
        """Return the position of the median of three, and the exchanges of positions that it took."""
        exchanges = 0
        if self._less(y, x):
            x, y = y, x
            exchanges += 1
        if self._less(z, y):
            y, z = z, y
            exchanges += 1
        if self._less(y, x):
            y = x
            exchanges += 1
        return y, exchanges

    def _cheap_pass(self, a: int, b: int) -> bool:
        """Q6: mend a range that is nearly in order; tell whether it now is."""
        i = a + 1
        for _ in range(_CHEAP_PASS_ROUNDS):
            while i < b and not self._less(i, i - 1):
                i += 1
            if i == b:
                return True
            if b - a < _NINTHER_MIN:
                return False
            self._exchange(i - 1, i)
            self._carry_left(a, i - 1)
            j = i + 1
            while j < b and self._less(j, j - 1):
                self._exchange(j, j - 1)
                j += 1
        return False

    def _partition(self, a: int, b: int, pivot: int) -> tuple[int, bool]:
        """Return the pivot's final position, and whether nothing had to be exchanged on the way."""
        self._exchange(a, pivot)
        left, right = a + 1, b - 1
        first = True
        while True:
            while left <= right and self._less(left, a):
                left += 1
            while left <= right and not self._less(right, a):
                right -= 1
            if left > right:
                self._exchange(a, right)
                return right, first
            self._exchange(left, right)
            left += 1
            right -= 1
            first = False

    def _scatter(self, a: int, b: int) -> None:
        """Q7: break up patterns that lead to lopsided partitions; a fixed xorshift seeded with the length."""
        n = b - a
        x = n
        mask = (1 << n.bit_length()) - 1
        start = a + 2 * (n // 4) - 1
        for position in range(start, start + 3):
            x = (x ^ x << 13) & 0xFFFF_FFFF_FFFF_FFFF
            x ^= x >> 7
            x = (x ^ x << 17) & 0xFFFF_FFFF_FFFF_FFFF
            other = x & mask
            if other >= n:
                other -= n
            self._exchange(position, a + other)

    def _heap_sort(self, a: int, b: int) -> None:
        n = b - a
        for node in range((n - 1) // 2, -1, -1):
            self._sift_down(a, node, n)
        for end in range(n - 1, -1, -1):
            self._exchange(a, a + end)
            self._sift_down(a, 0, end)

    def _sift_down(self, a: int, node: int, n: int) -> None:
        while True:
            child = 2 * node + 1
            if child >= n:
                return
            if child + 1 < n and self._less(a + child, a + child + 1):
                child += 1
            if not self._less(a + node, a + child):
                return
            self._exchange(a + node, a + child)
            node = child
