//! Tars made by hand, and conversions of them into memory.
#![allow(dead_code, reason = "each test has its own copy of this module and needs a part of it")]

use layerdisk_core::convert::{Summary, convert};
use layerdisk_core::error::Result;
use layerdisk_core::options::Options;
use layerdisk_core::pipeline::Source;
use layerdisk_core::sink::{Destination, Sink};

const BLOCK_LEN: usize = 512;

/// An entry on its way into a tar.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub kind: u8,
    pub data: Vec<u8>,
    pub mode: u64,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    pub linkname: String,
    pub device: (u64, u64),
    pub records: Vec<(String, Vec<u8>)>,
}

impl Entry {
    pub fn new(kind: u8, name: &str) -> Self {
        Self {
            name: name.into(),
            kind,
            data: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            linkname: String::new(),
            device: (0, 0),
            records: Vec::new(),
        }
    }

    pub fn file(name: &str, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::new(b'0', name) }
    }

    pub fn directory(name: &str) -> Self {
        Self { mode: 0o755, ..Self::new(b'5', name) }
    }

    pub fn symlink(name: &str, target: &str) -> Self {
        Self { linkname: target.into(), ..Self::new(b'2', name) }
    }

    pub fn link(name: &str, target: &str) -> Self {
        Self { linkname: target.into(), ..Self::new(b'1', name) }
    }

    pub fn record(mut self, key: &str, value: &[u8]) -> Self {
        self.records.push((key.into(), value.to_vec()));
        self
    }

    pub fn xattr(self, name: &str, value: &[u8]) -> Self {
        self.record(&format!("SCHILY.xattr.{name}"), value)
    }

    fn write(&self, tar: &mut Vec<u8>) {
        if !self.records.is_empty() {
            let body: Vec<u8> = self.records.iter().flat_map(|(key, value)| record(key, value)).collect();
            write_header(tar, &Self { data: body.clone(), ..Self::new(b'x', "PaxHeaders/x") });
            write_padded(tar, &body);
        }
        write_header(tar, self);
        write_padded(tar, &self.data);
    }
}

/// A whole archive.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut tar));
    tar.resize(tar.len() + 2 * BLOCK_LEN, 0);
    tar
}

/// A record of an extended header; its length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut len = rest.len() + 1;
    while len.to_string().len() + rest.len() != len {
        len = len.to_string().len() + rest.len();
    }
    [len.to_string().as_bytes(), &rest].concat()
}

fn write_header(tar: &mut Vec<u8>, entry: &Entry) {
    let mut block = [0u8; BLOCK_LEN];
    let mut put = |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, entry.name.as_bytes());
    put(100, &number(entry.mode, 8));
    put(108, &number(entry.uid, 8));
    put(116, &number(entry.gid, 8));
    put(124, &number(entry.data.len() as u64, 12));
    put(136, &number(entry.mtime, 12));
    put(148, b"        ");
    put(156, &[entry.kind]);
    put(157, entry.linkname.as_bytes());
    put(257, b"ustar\x0000");
    put(329, &number(entry.device.0, 8));
    put(337, &number(entry.device.1, 8));
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&block);
}

/// Octal if it fits, else base 256.
fn number(value: u64, width: usize) -> Vec<u8> {
    let octal = format!("{value:0width$o}\0", width = width - 1);
    if octal.len() == width {
        return octal.into_bytes();
    }
    let bytes = value.to_be_bytes();
    let mut field = vec![0; width.saturating_sub(bytes.len())];
    field.extend_from_slice(&bytes[bytes.len().saturating_sub(width)..]);
    field[0] |= 0x80;
    field
}

fn write_padded(tar: &mut Vec<u8>, data: &[u8]) {
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(BLOCK_LEN), 0);
}

/// A tar in pieces of at most that many bytes.
pub struct Pieces<'t> {
    rest: &'t [u8],
    len: usize,
}

impl<'t> Source for Pieces<'t> {
    type Chunk = &'t [u8];

    fn read(&mut self, _spare: Option<&'t [u8]>) -> Result<Option<&'t [u8]>> {
        let (piece, rest) = self.rest.split_at(self.rest.len().min(self.len));
        self.rest = rest;
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn poll(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Converts a tar into memory, cut into pieces of several lengths: each gives the same.
pub fn image_of(tar: &[u8], options: &Options) -> Result<(Vec<u8>, Summary)> {
    let mut converted = image_from_pieces(tar, tar.len().max(1), options)?;
    for len in [100, 4096] {
        let again = image_from_pieces(tar, len, options)?;
        assert!(again.0 == converted.0, "the image depends on pieces of {len} bytes");
        converted = again;
    }
    Ok(converted)
}

fn image_from_pieces(tar: &[u8], len: usize, options: &Options) -> Result<(Vec<u8>, Summary)> {
    let mut image = Memory::default();
    let summary = convert(&mut Pieces { rest: tar, len }, &mut image, options)?;
    Ok((image.0, summary))
}

/// What a conversion is refused with.
pub fn refusal(tar: &[u8], options: &Options) -> String {
    match image_of(tar, options) {
        Ok((_, summary)) => panic!("accepted: {summary:?}"),
        Err(error) => format!("{} {error}", error.code().unwrap_or("-")),
    }
}

#[derive(Default)]
struct Memory(Vec<u8>);

impl Sink for &mut Memory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_at(offset, bytes)
    }
}

impl Destination for &mut Memory {
    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        self.0.finish(length, sync)
    }
}
