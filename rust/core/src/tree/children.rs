//! The names grouped by directory, once all are there.

use std::ops::Range;

use super::names::NameList;
use crate::units::InodeNumber;

/// One array of positions, and where each directory's part of it ends.
pub struct Children<'t> {
    names: &'t NameList,
    ends: Vec<u32>,
    order: Vec<u32>,
}

impl<'t> Children<'t> {
    pub(super) fn new(names: &'t NameList, nodes: usize) -> Self {
        // First the starts: they move on to the ends as the parts are filled.
        let mut ends = vec![0u32; nodes + 2];
        for (_, name) in names.live() {
            *slot(&mut ends, name.parent.get() + 1) += 1;
        }
        let mut sum = 0;
        for start in &mut ends {
            sum += *start;
            *start = sum;
        }
        let mut order = vec![0; sum as usize];
        for (position, name) in names.live() {
            let next = slot(&mut ends, name.parent.get());
            *slot(&mut order, *next) = position;
            *next += 1;
        }
        let mut children = Self { names, ends, order };
        children.sort();
        children
    }

    /// The entries of a directory, sorted by number, then name.
    pub fn of(&self, parent: InodeNumber) -> impl DoubleEndedIterator<Item = (InodeNumber, &'t [u8])> {
        let names = self.names;
        self.range(parent)
            .and_then(|range| self.order.get(range))
            .unwrap_or_default()
            .iter()
            .filter_map(|&position| Some((names.get(position)?.child, names.bytes_of(position))))
    }

    fn range(&self, parent: InodeNumber) -> Option<Range<usize>> {
        let end = parent.get() as usize;
        Some(*self.ends.get(end.checked_sub(1)?)? as usize..*self.ends.get(end)? as usize)
    }

    fn sort(&mut self) {
        let names = self.names;
        let key = |&position: &u32| names.get(position).map(|name| (name.child, names.bytes_of(position)));
        for parent in 1..self.ends.len() as u32 {
            if let Some(entries) =
                self.range(InodeNumber::new(parent)).and_then(|range| self.order.get_mut(range))
                && !entries.is_sorted_by_key(key)
            {
                entries.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
            }
        }
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "every parent is a node, and the starts sum up to the number of names"
)]
fn slot(list: &mut [u32], position: u32) -> &mut u32 {
    &mut list[position as usize]
}
