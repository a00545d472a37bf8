//! A block of 512 bytes as the five formats in use lay out its fields, and the numbers and texts in these.
//! Sources: POSIX, pax "Interchange Format"; GNU tar manual, "Basic Tar Format"; the man page of star(5).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute_ref};

use crate::error::{Error, Result, quote};

pub const BLOCK_LEN: usize = 512;
pub type Block = [u8; BLOCK_LEN];

const MAGIC_POSIX: &[u8; 6] = b"ustar\0";
const MAGIC_GNU: &[u8; 6] = b"ustar ";
const VERSION_GNU: &[u8; 2] = b" \0";
const TRAILER_STAR: &[u8; 4] = b"tar\0";

/// The part of a header block that all formats but V7 share; V7 ends with `linkname`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct HeaderBlock {
    pub name: [u8; 100],
    pub mode: [u8; 8],
    pub uid: [u8; 8],
    pub gid: [u8; 8],
    pub size: [u8; 12],
    pub mtime: [u8; 12],
    pub checksum: [u8; 8],
    pub typeflag: u8,
    pub linkname: [u8; 100],
    pub magic: [u8; 6],
    pub version: [u8; 2],
    pub uname: [u8; 32],
    pub gname: [u8; 32],
    pub devmajor: [u8; 8],
    pub devminor: [u8; 8],
    tail: [u8; TAIL_LEN],
}

const TAIL_LEN: usize = 167;

/// What follows in USTAR and PAX.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PosixTail {
    pub prefix: [u8; 155],
    unused: [u8; 12],
}

/// What follows in STAR.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct StarTail {
    pub prefix: [u8; 131],
    pub atime: [u8; 12],
    pub ctime: [u8; 12],
    unused: [u8; 8],
    trailer: [u8; 4],
}

/// What follows in GNU's format.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct GnuTail {
    pub atime: [u8; 12],
    pub ctime: [u8; 12],
    offset: [u8; 12],
    longnames: [u8; 4],
    unused: u8,
    pub sparse: [SparseField; 4],
    pub is_extended: u8,
    pub real_size: [u8; 12],
    unused_end: [u8; 17],
}

/// One fragment of an old GNU sparse map.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SparseField {
    pub offset: [u8; 12],
    pub length: [u8; 12],
}

/// A block that goes on with an old GNU sparse map.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SparseBlock {
    pub sparse: [SparseField; 21],
    pub is_extended: u8,
    unused: [u8; 7],
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<HeaderBlock>() == BLOCK_LEN && size_of::<SparseBlock>() == BLOCK_LEN);
    assert!(size_of::<PosixTail>() == TAIL_LEN && size_of::<StarTail>() == TAIL_LEN);
    assert!(size_of::<GnuTail>() == TAIL_LEN);
    assert!(offset_of!(HeaderBlock, size) == 124 && offset_of!(HeaderBlock, checksum) == 148);
    assert!(offset_of!(HeaderBlock, typeflag) == 156 && offset_of!(HeaderBlock, magic) == 257);
    assert!(offset_of!(HeaderBlock, devmajor) == 329);
    const TAIL: usize = offset_of!(HeaderBlock, tail);
    assert!(TAIL == 345 && TAIL + offset_of!(StarTail, atime) == 476);
    assert!(TAIL + offset_of!(StarTail, trailer) == 508 && TAIL + offset_of!(GnuTail, sparse) == 386);
    assert!(TAIL + offset_of!(GnuTail, real_size) == 483 && offset_of!(SparseBlock, is_extended) == 504);
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    V7,
    /// USTAR and PAX, which is USTAR with extended headers.
    Ustar,
    Star,
    Gnu,
}

impl HeaderBlock {
    pub fn of(block: &Block) -> &Self {
        transmute_ref!(block)
    }

    pub fn format(&self) -> Format {
        match (&self.magic, &self.version, &self.star().trailer) {
            (MAGIC_POSIX, _, TRAILER_STAR) => Format::Star,
            (MAGIC_POSIX, _, _) => Format::Ustar,
            (MAGIC_GNU, VERSION_GNU, _) => Format::Gnu,
            _ => Format::V7,
        }
    }

    pub fn posix(&self) -> &PosixTail {
        transmute_ref!(&self.tail)
    }

    pub fn star(&self) -> &StarTail {
        transmute_ref!(&self.tail)
    }

    pub fn gnu(&self) -> &GnuTail {
        transmute_ref!(&self.tail)
    }

    /// The sum of all bytes with the field itself as spaces; old writers took the bytes as signed.
    pub fn check_sum(&self) -> Result<()> {
        let spaces = self.checksum.len() as i64 * i64::from(b' ');
        let unsigned = sum(self.as_bytes()) - sum(&self.checksum) + spaces;
        let signed = || signed_sum(self.as_bytes()) - signed_sum(&self.checksum) + spaces;
        match octal(&self.checksum) {
            Some(stored) if stored == unsigned || stored == signed() => Ok(()),
            _ => Err(Error::invalid_tar(format!(
                "the checksum is {}, the block's is {unsigned:o}",
                quote(&self.checksum)
            ))),
        }
    }
}

impl SparseBlock {
    pub fn of(block: &Block) -> &Self {
        transmute_ref!(block)
    }
}

/// A field's bytes up to the first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A number in octal or base 256.
pub fn number(field: &[u8], name: &str) -> Result<i64> {
    let is_base256 = field.first().is_some_and(|first| first & 0x80 != 0);
    let value = if is_base256 { base256(field) } else { octal(field) };
    value.ok_or_else(|| {
        Error::invalid_tar(format!("field {name} is not a number of 64 bits: {}", quote(field)))
    })
}

/// A signed decimal number of 64 bits: a sign if any, and digits.
pub fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |value, &digit| {
        let digit = i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    })
}

fn sum(bytes: &[u8]) -> i64 {
    bytes.iter().map(|&b| u32::from(b)).sum::<u32>().into()
}

fn signed_sum(bytes: &[u8]) -> i64 {
    bytes.iter().map(|&b| i32::from(b as i8)).sum::<i32>().into()
}

/// Spaces and NULs around are dropped, and everything after a NUL inside; nothing at all is 0.
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
    for (position, &byte) in bytes.iter().enumerate() {
        let byte = (byte ^ invert) & if position == 0 { 0x7F } else { 0xFF };
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
    use super::{base256, octal};

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

    #[test]
    fn base_256_has_63_bits_and_a_sign() {
        for (bytes, value) in [
            (b"\x80\0\0\0\0\0\0\x05".as_slice(), Some(5)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(base256(bytes), value, "{bytes:?}");
        }
    }
}
