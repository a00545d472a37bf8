//! The tar reader and what a layer is refused for, on archives made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Entry, archive, refusal};
use layerdisk_core::error::Result;
use layerdisk_core::faults::FaultSet;
use layerdisk_core::options::Options;
use layerdisk_core::stream::Input;
use layerdisk_core::tar::{CutEnd, Data, Reader};

/// A tar in pieces of one length.
struct Pieces<'t> {
    pieces: std::slice::Chunks<'t, u8>,
    piece: &'t [u8],
}

impl Input for Pieces<'_> {
    fn next_chunk(&mut self) -> Result<bool> {
        let next = self.pieces.next();
        self.piece = next.unwrap_or_default();
        Ok(next.is_some())
    }

    fn chunk(&self) -> &[u8] {
        self.piece
    }
}

/// Each entry in words, its holes as `<length>`.
fn read(tar: &[u8], len: usize) -> Vec<String> {
    let mut reader = Reader::new(Pieces { pieces: tar.chunks(len), piece: b"" }, CutEnd::Refused);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = String::new();
        while let Some(data) = reader.data().unwrap() {
            match data {
                Data::Bytes(bytes) => content += std::str::from_utf8(bytes).unwrap(),
                Data::Zeros(length) => content += &format!("<{length}>"),
            }
        }
        let name = String::from_utf8_lossy(&entry.name);
        found.push(format!("{} {name} {} {content}", char::from(entry.typeflag), entry.size));
    }
    found
}

#[test]
fn entries_are_the_same_however_the_stream_is_cut() {
    let tar = archive(&[
        Entry::directory("d"),
        Entry::file("d/f", b"content").record("path", b"d/long name of a record"),
        Entry::file("sparse", b"headtail")
            .record("GNU.sparse.major", b"0")
            .record("GNU.sparse.minor", b"1")
            .record("GNU.sparse.numblocks", b"2")
            .record("GNU.sparse.map", b"2,4,10,4")
            .record("GNU.sparse.size", b"20"),
        Entry::file("map in data", &[b"1\n3\n2\n".as_slice(), &[0; 506], b"hi"].concat())
            .record("GNU.sparse.major", b"1")
            .record("GNU.sparse.minor", b"0")
            .record("GNU.sparse.realsize", b"5"),
        Entry { kind: 0, ..Entry::directory("old/") },
        Entry::link("l", "d/f"),
    ]);
    let expected = [
        "5 d 0 ",
        "0 d/long name of a record 7 content",
        "0 sparse 20 <2>head<4>tail<6>",
        "0 map in data 5 <3>hi",
        "5 old/ 0 ",
        "1 l 0 ",
    ];
    for len in [1, 7, 511, 512, 513, tar.len()] {
        assert_eq!(read(&tar, len), expected, "pieces of {len} bytes");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_was_found() {
    let long = "n".repeat(300);
    let cases: Vec<(Entry, &str)> = vec![
        (
            Entry::file("f", b"").xattr("user.a", &[0; 5000]),
            "B15 tar entry \"f\" at byte 0: xattr \"user.a\" needs 5020 bytes, 4060 of 4060 are left in the xattr block",
        ),
        (
            Entry { device: (4096, 0), ..Entry::new(b'3', "c") },
            "N5 tar entry \"c\" at byte 0: devmajor is 4096, it must be 0 to 4095",
        ),
        (
            Entry::file("f", b"").xattr("security.capability", b"1"),
            "N13 tar entry \"f\" at byte 0: xattr \"security.capability\" has 1 bytes and revision 0x00000000: \
             it must be 12 bytes of revision 1, 20 of revision 2 or 24 of revision 3",
        ),
        (
            Entry::link("l", "missing"),
            "- tar entry \"l\" at byte 0: the link's target \"missing\" is not in the layer",
        ),
        (
            Entry::file("f", b"").record("uid", b"-1"),
            "B17 tar entry \"f\" at byte 0: uid is -1, it must be 0 to 4294967295",
        ),
        (
            Entry::file("f", b"").xattr(&format!("user.{long}"), b""),
            "B14 tar entry \"f\" at byte 0: the name of xattr",
        ),
    ];
    for (entry, expected) in cases {
        let told = refusal(&archive(&[entry]), &Options::default());
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn every_cut_of_an_archive_is_refused_or_told() {
    let tar = archive(&[Entry::file("a", &[1; 700]), Entry::file("b", b"").xattr("user.x", b"1")]);
    let end = tar.len() - 1024;
    let mut accepted = Vec::new();
    for len in (0..tar.len()).step_by(100).chain([512 + 1024, end, end + 512]) {
        if let Ok((_, summary)) = common::image_of(&tar[..len], &Options::default()) {
            assert_eq!(summary.findings.last().map(|finding| finding.fault.code()), Some("B24"), "{len}");
            accepted.push(len);
        }
    }
    accepted.sort_unstable();
    assert_eq!(accepted, [0, 1536, end, end + 512]);
    let reproducing = Options { reproduced: FaultSet::ALL, ..Options::default() };
    let (_, summary) = common::image_of(&tar[..1536 - 100], &reproducing).unwrap();
    assert!(summary.findings.is_empty(), "in the padding, as hcsshim takes it");
}
