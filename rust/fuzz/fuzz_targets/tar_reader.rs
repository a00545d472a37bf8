//! The tar reader on any bytes: it ends, it says the same however the stream is cut, and its sizes are true.
//! Input: one byte for the chunks (`pieces`), then the tar.
#![no_main]

use layerdisk_core::error::{Error, Result};
use layerdisk_core::stream::Input;
use layerdisk_core::tar::{BLOCK_LEN, CutEnd, Data, Entry, Reader};
use layerdisk_fuzz::mutation::mutate;
use layerdisk_fuzz::pieces::Pieces;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

const OPTIONS_LEN: usize = 1;
const PIECES: usize = 4096;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, OPTIONS_LEN)
});

fuzz_target!(|data: &[u8]| {
    let (chunks, tar) = data.split_first().map_or((0, data), |(chunks, tar)| (*chunks, tar));
    let [lenient, strict] = [CutEnd::Accepted, CutEnd::Refused].map(|cut_end| {
        let all = read(Pieces::whole(tar), tar.len(), cut_end);
        assert_same(&read(Pieces::cut(tar, chunks, PIECES), tar.len(), cut_end), &all);
        check_skipping(tar, cut_end, &all);
        all
    });
    match &strict.failure {
        Some(failure) if failure.code == Some("B24") => {
            assert_eq!(lenient.failure, None, "only the end differs");
            assert!(lenient.entries == strict.entries);
        }
        _ => assert_same(&lenient, &strict),
    }
});

/// Everything that a reader gives.
struct Contents {
    entries: Vec<(String, Content)>,
    failure: Option<Failure>,
    without_marker: bool,
    position: u64,
}

/// An entry's data, as far as it was read.
#[derive(Default, PartialEq)]
struct Content {
    bytes: Vec<u8>,
    /// Offset and length of each.
    holes: Vec<(u64, u64)>,
    length: u64,
}

#[derive(Debug, PartialEq)]
struct Failure {
    text: String,
    code: Option<&'static str>,
    in_data: bool,
}

fn read(input: impl Input, tar_len: usize, cut_end: CutEnd) -> Contents {
    let mut reader = Reader::new(input, cut_end);
    let mut entries = Vec::new();
    let mut failure = None;
    let mut end = 0;
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                failure = Some(outside_of_data(&error, tar_len));
                break;
            }
        };
        check_entry(&entry, end);
        end = entry.offset + BLOCK_LEN as u64;
        let mut content = Content::default();
        let outcome = read_data(&mut reader, &mut content);
        if outcome.is_ok() {
            assert_eq!(content.length, entry.size, "the data is as long as the entry says");
        }
        entries.push((format!("{entry:?}"), content));
        if let Err(error) = outcome {
            assert_eq!(error.offset, None, "convert gives the entry and its offset");
            failure = Some(Failure { text: error.to_string(), code: error.code(), in_data: true });
            break;
        }
    }
    assert!(reader.position() <= tar_len as u64);
    if failure.is_none() {
        assert!(matches!(reader.next_entry(), Ok(None)), "the end stays the end");
        assert!(matches!(reader.data(), Ok(None)));
    }
    Contents { entries, failure, without_marker: reader.ended_without_marker(), position: reader.position() }
}

fn read_data(reader: &mut Reader<impl Input>, content: &mut Content) -> Result<()> {
    let mut behind_hole = false;
    while let Some(data) = reader.data()? {
        match data {
            Data::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                content.bytes.extend_from_slice(bytes);
                content.length += bytes.len() as u64;
                behind_hole = false;
            }
            Data::Zeros(length) => {
                assert!(length > 0 && !behind_hole, "a hole comes in one piece");
                content.holes.push((content.length, length));
                content.length += length;
                behind_hole = true;
            }
        }
    }
    Ok(())
}

/// In parts, so that what a failure prints is short.
fn assert_same(one: &Contents, other: &Contents) {
    for ((entry, content), (other_entry, other_content)) in one.entries.iter().zip(&other.entries) {
        assert_eq!(entry, other_entry);
        assert!(content == other_content, "not the same data: {entry}");
    }
    assert_eq!(one.entries.len(), other.entries.len());
    assert_eq!(one.failure, other.failure);
    assert_eq!((one.without_marker, one.position), (other.without_marker, other.position));
}

/// An entry left unread is skipped, whatever is wrong with its data: what follows must be the same.
fn check_skipping(tar: &[u8], cut_end: CutEnd, all: &Contents) {
    let mut reader = Reader::new(Pieces::whole(tar), cut_end);
    let mut entries = Vec::new();
    let mut failure = None;
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => entries.push(format!("{entry:?}")),
            Ok(None) => break,
            Err(error) => {
                failure = Some(outside_of_data(&error, tar.len()));
                break;
            }
        }
    }
    let read = all.entries.iter().map(|(entry, _)| entry);
    if all.failure.as_ref().is_some_and(|failure| failure.in_data) {
        assert!(entries.iter().zip(read).all(|(skipped, read)| skipped == read));
        assert!(entries.len() >= all.entries.len());
    } else {
        assert!(entries.iter().eq(read), "skipping data changes the entries");
        assert_eq!(failure, all.failure);
    }
}

fn check_entry(entry: &Entry, end_of_last: u64) {
    assert!(entry.offset >= end_of_last && entry.offset.is_multiple_of(BLOCK_LEN as u64));
    let times = [entry.mtime, entry.atime, entry.ctime];
    assert!(times.iter().flatten().all(|time| time.nanoseconds < 1_000_000_000));
    assert!(entry.xattrs.is_sorted_by(|(a, _), (b, _)| a < b));
}

fn outside_of_data(error: &Error, tar_len: usize) -> Failure {
    let offset = error.offset.expect("a failure outside of an entry's data says where it is");
    assert!(offset <= tar_len as u64);
    Failure { text: error.to_string(), code: error.code(), in_data: false }
}
