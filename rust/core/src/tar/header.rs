//! One header block of 512 bytes, in the five formats that are about.

use super::{BLOCK_LEN, Time, text};
use crate::error::{Error, Result, quote};

pub type Block = [u8; BLOCK_LEN];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    V7,
    Ustar,
    Star,
    Gnu,
}

#[derive(Clone, Debug)]
pub struct Header {
    pub format: Format,
    pub name: Vec<u8>,
    pub linkname: Vec<u8>,
    pub typeflag: u8,
    pub size: i64,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    pub mtime: Time,
    pub atime: Option<Time>,
    pub ctime: Option<Time>,
    pub devmajor: i64,
    pub devminor: i64,
}

impl Header {
    pub fn parse(block: &Block) -> Result<Self> {
        check_sum(block)?;
        let format = Format::of(block);
        let mut header = Self {
            format,
            name: text(field(block, 0, 100)).to_vec(),
            mode: number(block, 100, 8, "mode")?,
            uid: number(block, 108, 8, "uid")?,
            gid: number(block, 116, 8, "gid")?,
            size: number(block, 124, 12, "size")?,
            mtime: at_second(number(block, 136, 12, "mtime")?),
            typeflag: field(block, 156, 1).first().copied().unwrap_or_default(),
            linkname: text(field(block, 157, 100)).to_vec(),
            atime: None,
            ctime: None,
            devmajor: 0,
            devminor: 0,
        };
        if format == Format::V7 {
            return Ok(header);
        }
        header.devmajor = number(block, 329, 8, "devmajor")?;
        header.devminor = number(block, 337, 8, "devminor")?;
        let prefix = match format {
            Format::Star => {
                header.atime = Some(at_second(number(block, 476, 12, "atime")?));
                header.ctime = Some(at_second(number(block, 488, 12, "ctime")?));
                text(field(block, 345, 131))
            }
            Format::Gnu => header.gnu_times_or_prefix(block),
            _ => text(field(block, 345, 155)),
        };
        if !prefix.is_empty() {
            header.name = [prefix, b"/", &header.name].concat();
        }
        Ok(header)
    }

    /// Types whose data is never there, whatever the size says.
    pub fn is_header_only(&self) -> bool {
        matches!(self.typeflag, b'1'..=b'6')
    }

    /// NUL, of old archives, is a regular file, or a directory if the name says so.
    pub fn normalise_type(&mut self) {
        if self.typeflag == 0 {
            self.typeflag = if self.name.ends_with(b"/") { b'5' } else { b'0' };
        }
    }

    /// GNU keeps times where others keep the prefix; some writers of the GNU format keep a prefix all the same.
    fn gnu_times_or_prefix<'b>(&mut self, block: &'b Block) -> &'b [u8] {
        let time = |at, name| match field(block, at, 12) {
            [0, ..] => Ok(None),
            _ => number(block, at, 12, name).map(|seconds| Some(at_second(seconds))),
        };
        if let (Ok(atime), Ok(ctime)) = (time(345, "atime"), time(357, "ctime")) {
            self.atime = atime;
            self.ctime = ctime;
            return b"";
        }
        let prefix = text(field(block, 345, 155));
        if prefix.is_ascii() { prefix } else { b"" }
    }
}

impl Format {
    fn of(block: &Block) -> Self {
        match (field(block, 257, 6), field(block, 263, 2), field(block, 508, 4)) {
            (b"ustar\0", _, b"tar\0") => Self::Star,
            (b"ustar\0", _, _) => Self::Ustar,
            (b"ustar ", b" \0", _) => Self::Gnu,
            _ => Self::V7,
        }
    }
}

pub fn field(block: &Block, at: usize, length: usize) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

/// A number in octal or base 256.
pub fn number(block: &Block, at: usize, length: usize, name: &str) -> Result<i64> {
    let bytes = field(block, at, length);
    let value =
        if bytes.first().is_some_and(|first| first & 0x80 != 0) { base256(bytes) } else { octal(bytes) };
    value.ok_or_else(|| Error::invalid_tar(format!("field {name} is no number of 64 bits: {}", quote(bytes))))
}

fn at_second(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 0 }
}

/// The sum of all bytes with the field itself as spaces; old writers took the bytes as signed.
fn check_sum(block: &Block) -> Result<()> {
    let stored = field(block, 148, 8);
    let spaces = stored.len() as i64 * i64::from(b' ');
    let unsigned = sum_of(block) - sum_of(stored) + spaces;
    let signed = || signed_sum_of(block) - signed_sum_of(stored) + spaces;
    match octal(stored) {
        Some(sum) if sum == unsigned || sum == signed() => Ok(()),
        _ => {
            Err(Error::invalid_tar(format!("the checksum is {}, the block's is {unsigned:o}", quote(stored))))
        }
    }
}

fn sum_of(bytes: &[u8]) -> i64 {
    bytes.iter().map(|&b| u32::from(b)).sum::<u32>().into()
}

fn signed_sum_of(bytes: &[u8]) -> i64 {
    bytes.iter().map(|&b| i32::from(b as i8)).sum::<i32>().into()
}

/// Spaces and NULs around are dropped, and all behind a NUL inside; nothing at all is 0.
fn octal(bytes: &[u8]) -> Option<i64> {
    let mut rest = bytes.iter().skip_while(|byte| is_blank(byte));
    let mut value = 0u64;
    while let Some(&byte) = rest.next() {
        match byte {
            b'0'..=b'7' if value >> 61 == 0 => value = value << 3 | u64::from(byte - b'0'),
            b' ' if rest.all(is_blank) => break,
            0 => break,
            _ => return None,
        }
    }
    Some(value as i64)
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | 0)
}

/// Two's complement, big endian; the first bit marks the form and the second is the sign.
fn base256(bytes: &[u8]) -> Option<i64> {
    let invert = if bytes.first()? & 0x40 != 0 { 0xFF } else { 0 };
    let mut value = 0u64;
    for (at, &byte) in bytes.iter().enumerate() {
        let byte = (byte ^ invert) & if at == 0 { 0x7F } else { 0xFF };
        if value >> 56 != 0 {
            return None;
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).ok()?;
    Some(if invert == 0 { value } else { !value })
}

#[cfg(test)]
mod tests {
    use super::octal;

    #[test]
    fn octal_takes_what_go_takes() {
        for (text, value) in [
            (b"0000644\0".as_slice(), Some(0o644)),
            (b"\0 \0 17 \0", Some(0o17)),
            (b"17\0 garbage", Some(0o17)),
            (b" \0\0", Some(0)),
            (b"", Some(0)),
            (b"17 \0x", None),
            (b"1 7", None),
            (b"-1", None),
            (b"8", None),
            (b"1777777777777777777777", Some(-1)),
            (b"2000000000000000000000", None),
        ] {
            assert_eq!(octal(text), value, "{text:?}");
        }
    }
}
