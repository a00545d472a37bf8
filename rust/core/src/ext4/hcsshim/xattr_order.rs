//! The order in which hcsshim leaves the entries of an xattr block.
//!
//! Its comparison is no order (neither transitive nor antisymmetric: B2), so the outcome is that of one
//! particular algorithm: insertion sort up to 12 items, the pattern-defeating quicksort of Peters beyond,
//! in the variant of Go's library. docs/format.md gives the rules by the letters used here (Q1 to Q8).

use crate::ext4::format::xattr::XattrEntry;

const INSERTION_MAX: usize = 12;
const NINTHER_MIN: usize = 50;
const CHEAP_PASS_ROUNDS: usize = 5;
/// Number of exchanges in a ninther of a falling range.
const FALLING_EXCHANGES: usize = 12;

pub fn sort(items: &mut [XattrEntry<'_>]) {
    let n = items.len();
    Sorter { items }.sort(0, n, usize::BITS - n.leading_zeros());
}

struct Sorter<'s, 'i> {
    items: &'s mut [XattrEntry<'i>],
}

#[derive(Clone, Copy, PartialEq)]
enum Hint {
    None,
    Rising,
    Falling,
}

impl Sorter<'_, '_> {
    /// Whether the item now at `x` is less than the one at `y`; any one of three comparisons suffices.
    #[expect(clippy::indexing_slicing, reason = "positions are inside of a..b, which is inside of the list")]
    fn less(&self, x: usize, y: usize) -> bool {
        let (a, b) = (&self.items[x], &self.items[y]);
        a.index < b.index || a.name.len() < b.name.len() || a.name < b.name
    }

    fn exchange(&mut self, x: usize, y: usize) {
        self.items.swap(x, y);
    }

    fn sort(&mut self, mut a: usize, mut b: usize, mut budget: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let n = b - a;
            if n <= INSERTION_MAX {
                return self.insertion_sort(a, b);
            }
            if budget == 0 {
                return self.heap_sort(a, b);
            }
            if !balanced {
                self.scatter(a, b);
                budget -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(a, b);
            if hint == Hint::Falling {
                self.reverse(a, b);
                pivot = a + b - 1 - pivot;
                hint = Hint::Rising;
            }
            if balanced && partitioned && hint == Hint::Rising && self.cheap_pass(a, b) {
                return;
            }
            let (middle, untouched) = self.partition(a, b, pivot);
            partitioned = untouched;
            let (left, right) = (middle - a, b - middle);
            if left < right {
                balanced = left >= n / 8;
                self.sort(a, middle, budget);
                a = middle + 1;
            } else {
                balanced = right >= n / 8;
                self.sort(middle + 1, b, budget);
                b = middle;
            }
        }
    }

    fn insertion_sort(&mut self, a: usize, b: usize) {
        for i in a + 1..b {
            let mut j = i;
            while j > a && self.less(j, j - 1) {
                self.exchange(j, j - 1);
                j -= 1;
            }
        }
    }

    fn choose_pivot(&self, a: usize, b: usize) -> (usize, Hint) {
        let n = b - a;
        let quarter = n / 4;
        let mut exchanges = 0;
        let mut candidates = [a + quarter, a + 2 * quarter, a + 3 * quarter];
        if n >= NINTHER_MIN {
            candidates = candidates.map(|c| self.median(c - 1, c, c + 1, &mut exchanges));
        }
        let [x, y, z] = candidates;
        let pivot = self.median(x, y, z, &mut exchanges);
        let hint = match exchanges {
            0 => Hint::Rising,
            FALLING_EXCHANGES => Hint::Falling,
            _ => Hint::None,
        };
        (pivot, hint)
    }

    fn median(&self, mut x: usize, mut y: usize, z: usize, exchanges: &mut usize) -> usize {
        let mut last = z;
        if self.less(y, x) {
            (x, y) = (y, x);
            *exchanges += 1;
        }
        if self.less(last, y) {
            (y, last) = (last, y);
            *exchanges += 1;
        }
        let _ = last;
        if self.less(y, x) {
            y = x;
            *exchanges += 1;
        }
        y
    }

    fn reverse(&mut self, a: usize, b: usize) {
        (0..(b - a) / 2).for_each(|i| self.exchange(a + i, b - 1 - i));
    }

    /// Q6: mends a range that is nearly in order; tells whether it now is.
    fn cheap_pass(&mut self, a: usize, b: usize) -> bool {
        let mut i = a + 1;
        for _ in 0..CHEAP_PASS_ROUNDS {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < NINTHER_MIN {
                return false;
            }
            self.exchange(i - 1, i);
            let mut j = i - 1;
            while j > a && self.less(j, j - 1) {
                self.exchange(j, j - 1);
                j -= 1;
            }
            let mut j = i + 1;
            while j < b && self.less(j, j - 1) {
                self.exchange(j, j - 1);
                j += 1;
            }
        }
        false
    }

    /// Returns the pivot's final position, and whether nothing had to be exchanged on the way.
    fn partition(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.exchange(a, pivot);
        let (mut left, mut right) = (a + 1, b - 1);
        let mut first = true;
        loop {
            while left <= right && self.less(left, a) {
                left += 1;
            }
            while left <= right && !self.less(right, a) {
                right -= 1;
            }
            if left > right {
                self.exchange(a, right);
                return (right, first);
            }
            self.exchange(left, right);
            left += 1;
            right -= 1;
            first = false;
        }
    }

    /// Q7: breaks up patterns that lead to lopsided partitions; a fixed xorshift, seeded with the length.
    fn scatter(&mut self, a: usize, b: usize) {
        let n = b - a;
        let mut x = n as u64;
        let mask = n.next_power_of_two_above() - 1;
        let start = a + 2 * (n / 4) - 1;
        for position in start..start + 3 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let mut other = (x & mask) as usize;
            if other >= n {
                other -= n;
            }
            self.exchange(position, a + other);
        }
    }

    fn heap_sort(&mut self, a: usize, b: usize) {
        let n = b - a;
        for node in (0..=(n - 1) / 2).rev() {
            self.sift_down(a, node, n);
        }
        for end in (0..n).rev() {
            self.exchange(a, a + end);
            self.sift_down(a, 0, end);
        }
    }

    fn sift_down(&mut self, a: usize, mut node: usize, n: usize) {
        loop {
            let mut child = 2 * node + 1;
            if child >= n {
                return;
            }
            if child + 1 < n && self.less(a + child, a + child + 1) {
                child += 1;
            }
            if !self.less(a + node, a + child) {
                return;
            }
            self.exchange(a + node, a + child);
            node = child;
        }
    }
}

trait AboveExt {
    /// 2 to the power of the bit length.
    fn next_power_of_two_above(self) -> u64;
}

impl AboveExt for usize {
    fn next_power_of_two_above(self) -> u64 {
        1 << (usize::BITS - self.leading_zeros())
    }
}
