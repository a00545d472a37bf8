//! Bytes of many nodes in one piece: texts, and sets of xattrs, of which equal ones are kept once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::error::{Error, Result};

/// Full name -> value.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Texts one after the other.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    /// Returns the place of the text, less than the largest number.
    pub fn add(&mut self, text: &[u8]) -> Result<u32> {
        let start = u32::try_from(self.bytes.len()).ok().filter(|start| *start < u32::MAX);
        let start = start.ok_or_else(|| {
            Error::disk_size("the short symlinks and files of the layer need more than 4 GiB")
        })?;
        self.bytes.extend_from_slice(text);
        Ok(start)
    }

    /// A text by its place and length, empty where there is none.
    pub fn get(&self, start: u32, len: u64) -> &[u8] {
        let start = start as usize;
        self.bytes.get(start..start.saturating_add(len as usize)).unwrap_or_default()
    }
}

/// Sets of xattrs, numbered from 0. In memory each attribute is: u16 length of its name, u16 length of its value,
/// little endian, then both.
pub(super) struct XattrSets {
    bytes: Vec<u8>,
    /// Where each set starts; it ends where the next one starts.
    starts: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState, // nothing of it shows in the image
}

impl Default for XattrSets {
    fn default() -> Self {
        Self { bytes: Vec::new(), starts: Vec::new(), index: HashTable::new(), hasher: RandomState::new() }
    }
}

impl XattrSets {
    /// Returns the number of a set of attributes, which are in the order of their names. No name and no value may
    /// have more than 65535 bytes.
    pub fn add(&mut self, attributes: &[(&[u8], &[u8])]) -> Result<u32> {
        let start = self.bytes.len();
        for (name, value) in attributes {
            for part in [name, value] {
                let len = u16::try_from(part.len()).map_err(|_| too_many())?;
                self.bytes.extend_from_slice(&len.to_le_bytes());
            }
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(value);
        }
        let (before, set) = self.bytes.split_at(start);
        let hash = self.hasher.hash_one(set);
        let starts = &self.starts;
        let known = self.index.find(hash, |&number| set_of(starts, before, number) == set);
        if let Some(&number) = known {
            self.bytes.truncate(start);
            return Ok(number);
        }
        let number = u32::try_from(self.starts.len()).map_err(|_| too_many())?;
        self.starts.push(u32::try_from(start).map_err(|_| too_many())?);
        let Self { bytes, starts, index, hasher } = self;
        index.insert_unique(hash, number, |&number| hasher.hash_one(set_of(starts, bytes, number)));
        Ok(number)
    }

    /// The attributes of a set, in the order of their names.
    pub fn get(&self, number: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = set_of(&self.starts, &self.bytes, number);
        std::iter::from_fn(move || {
            let ([n0, n1, v0, v1], after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at_checked(u16::from_le_bytes([*n0, *n1]).into())?;
            let (value, after) = after.split_at_checked(u16::from_le_bytes([*v0, *v1]).into())?;
            rest = after;
            Some((name, value))
        })
    }
}

fn set_of<'b>(starts: &[u32], bytes: &'b [u8], number: u32) -> &'b [u8] {
    let start_of = |number: usize| starts.get(number).map_or(bytes.len(), |start| *start as usize);
    bytes.get(start_of(number as usize)..start_of(number as usize + 1)).unwrap_or_default()
}

fn too_many() -> Error {
    Error::disk_size("the xattrs of the layer need more than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::XattrSets;

    #[test]
    fn equal_sets_are_kept_once() {
        let mut sets = XattrSets::default();
        let one: &[(&[u8], &[u8])] = &[(b"user.a", b"1"), (b"user.b", b"")];
        let other: &[(&[u8], &[u8])] = &[(b"user.a", b"2")];
        assert_eq!(sets.add(one).unwrap(), 0);
        assert_eq!(sets.add(other).unwrap(), 1);
        assert_eq!(sets.add(one).unwrap(), 0);
        assert_eq!(sets.get(0).collect::<Vec<_>>(), one);
        assert_eq!(sets.get(1).collect::<Vec<_>>(), other);
        assert!(sets.add(&[(&[b'n'; 65536], b"")]).is_err());
        assert_eq!(sets.get(1).collect::<Vec<_>>(), other);
    }
}
