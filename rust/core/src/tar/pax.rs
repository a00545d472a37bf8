//! Records of PAX extended headers: `LENGTH KEY=VALUE\n`.

use std::collections::BTreeMap;

use super::block::decimal;
use super::header::Header;
use super::map::{Fragment, Map};
use crate::error::{Error, Result, quote};
use crate::units::Time;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
/// Values of these keys end up as C strings, so that they may hold no NUL.
const TEXT_KEYS: [&[u8]; 4] = [b"path", b"linkpath", b"uname", b"gname"];
/// `5 =\n` would be the shortest record if keys could be empty.
const MIN_RECORD_LEN: usize = 5;

const SPARSE_OFFSET: &[u8] = b"GNU.sparse.offset";
const SPARSE_NUMBYTES: &[u8] = b"GNU.sparse.numbytes";
const SPARSE_MAP: &[u8] = b"GNU.sparse.map";

/// The records of one header by key.
#[derive(Debug, Default)]
pub struct Records {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Where the map of a sparse file is.
pub enum SparseForm {
    None,
    InRecords(Map),
    InData,
}

impl Records {
    pub fn parse(mut body: &[u8]) -> Result<Self> {
        let mut records = Self::default();
        let mut sparse = Vec::new();
        while !body.is_empty() {
            let (key, value, rest) = record(body)?;
            body = rest;
            if key == SPARSE_OFFSET || key == SPARSE_NUMBYTES {
                let is_offset = sparse.len() % 2 == 0;
                if (key == SPARSE_OFFSET) != is_offset || value.contains(&b',') {
                    return Err(Error::invalid_tar(
                        "records GNU.sparse.offset and GNU.sparse.numbytes do not alternate",
                    ));
                }
                sparse.push(value);
            } else {
                records.values.insert(key.to_vec(), value.to_vec());
            }
        }
        if !sparse.is_empty() {
            records.values.insert(SPARSE_MAP.to_vec(), sparse.join(&b','));
        }
        Ok(records)
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// Puts what the records say into a header; empty values say nothing.
    pub fn apply(&self, header: &mut Header) -> Result<()> {
        for (key, value) in self.values.iter().filter(|(_, value)| !value.is_empty()) {
            match key.as_slice() {
                b"path" => header.name.clone_from(value),
                b"linkpath" => header.linkname.clone_from(value),
                b"uid" => header.uid = self.decimal(key, value)?,
                b"gid" => header.gid = self.decimal(key, value)?,
                b"size" => header.size = self.decimal(key, value)?,
                b"mtime" => header.mtime = time(key, value)?,
                b"atime" => header.atime = Some(time(key, value)?),
                b"ctime" => header.ctime = Some(time(key, value)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The extended attributes, sorted by name.
    pub fn xattrs(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.values
            .into_iter()
            .filter_map(|(key, value)| key.strip_prefix(XATTR_PREFIX).map(|name| (name.to_vec(), value)))
            .collect()
    }

    /// Whether the file is sparse by its records; takes over the real name and size if it is.
    pub fn sparse(&self, header: &mut Header) -> Result<SparseForm> {
        let is_in_data = match (self.non_empty(b"GNU.sparse.major"), self.non_empty(b"GNU.sparse.minor")) {
            (Some(b"0"), Some(b"0" | b"1")) => false,
            (Some(b"1"), Some(b"0")) => true,
            (None, None) if self.non_empty(SPARSE_MAP).is_some() => false,
            _ => return Ok(SparseForm::None),
        };
        if let Some(name) = self.non_empty(b"GNU.sparse.name") {
            header.name = name.to_vec();
        }
        for key in [b"GNU.sparse.size".as_slice(), b"GNU.sparse.realsize"] {
            if let Some(value) = self.non_empty(key) {
                header.size = self.decimal(key, value)?;
                break;
            }
        }
        if is_in_data { Ok(SparseForm::InData) } else { self.sparse_map().map(SparseForm::InRecords) }
    }

    fn sparse_map(&self) -> Result<Map> {
        let count =
            self.get(b"GNU.sparse.numblocks").and_then(decimal).and_then(|count| u64::try_from(count).ok());
        let parts: Vec<&[u8]> = match self.non_empty(SPARSE_MAP) {
            Some(map) => map.split(|&b| b == b',').collect(),
            None => Vec::new(),
        };
        let count = count
            .ok_or_else(|| Error::invalid_tar("record GNU.sparse.numblocks is not a number from 0 on"))?;
        if count.checked_mul(2) != Some(parts.len() as u64) {
            let message = format!(
                "record GNU.sparse.map has {} numbers, GNU.sparse.numblocks says twice {count}",
                parts.len()
            );
            return Err(Error::invalid_tar(message));
        }
        let (pairs, _) = parts.as_chunks::<2>();
        pairs
            .iter()
            .map(|[offset, length]| {
                Ok(Fragment {
                    offset: self.decimal(SPARSE_MAP, offset)?,
                    length: self.decimal(SPARSE_MAP, length)?,
                })
            })
            .collect()
    }

    fn non_empty(&self, key: &[u8]) -> Option<&[u8]> {
        self.get(key).filter(|value| !value.is_empty())
    }

    fn decimal(&self, key: &[u8], value: &[u8]) -> Result<i64> {
        decimal(value).ok_or_else(|| bad_value(key, value, "not a decimal number of 64 bits"))
    }
}

/// The first record of the body, and what follows it.
fn record(body: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let bad = |why: &str| Error::invalid_tar(format!("extended header record {}: {why}", quote(body)));
    let space = body.iter().position(|&b| b == b' ').ok_or_else(|| bad("no space after its length"))?;
    let length = body.get(..space).and_then(decimal).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| (MIN_RECORD_LEN..=body.len()).contains(length)).ok_or_else(|| {
        bad(&format!("its length is not from {MIN_RECORD_LEN} to {}, the bytes left", body.len()))
    })?;
    let (record, rest) = body.split_at_checked(length).unwrap_or((body, b""));
    let Some([content @ .., b'\n']) = record.get(space + 1..) else {
        return Err(bad("no line feed at its end"));
    };
    let equals = content.iter().position(|&b| b == b'=').ok_or_else(|| bad("no equals sign"))?;
    let (key, value) = content.split_at_checked(equals).unwrap_or((content, b""));
    let value = value.get(1..).unwrap_or_default();
    if key.is_empty() || key.contains(&0) {
        return Err(bad("its key is empty or holds a NUL byte"));
    }
    if TEXT_KEYS.contains(&key) && value.contains(&0) {
        return Err(bad("its value holds a NUL byte"));
    }
    Ok((key, value, rest))
}

/// `S` or `S.F`; nine digits of the fraction count.
fn time(key: &[u8], value: &[u8]) -> Result<Time> {
    let bad = || bad_value(key, value, "no time in seconds");
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = parts.next().and_then(decimal).ok_or_else(bad)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok(if value.starts_with(b"-") && nanoseconds > 0 {
        Time { seconds: seconds.wrapping_sub(1), nanoseconds: 1_000_000_000 - nanoseconds }
    } else {
        Time { seconds, nanoseconds }
    })
}

fn bad_value(key: &[u8], value: &[u8], what: &str) -> Error {
    Error::invalid_tar(format!("extended header record {} is {what}: {}", quote(key), quote(value)))
}
