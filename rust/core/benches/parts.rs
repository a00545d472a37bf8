//! The core's parts, each alone: `cargo bench -p layerdisk-core`.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use layerdisk_core::error::Result;
use layerdisk_core::ext4::finish::finish;
use layerdisk_core::ext4::format::checksum::InodeId;
use layerdisk_core::ext4::format::directory::{Encoder, FileType};
use layerdisk_core::ext4::layout::Layout;
use layerdisk_core::ext4::storage::{Storage, new_tree};
use layerdisk_core::faults::{FaultSet, Faults};
use layerdisk_core::layer::{LayerOptions, LayerWriter};
use layerdisk_core::sink::Sink;
use layerdisk_core::stream::Input;
use layerdisk_core::tar::{self, CutEnd, Reader};
use layerdisk_core::tree::Tree;
use layerdisk_core::units::InodeNumber;

const ENTRIES: u32 = 10_000;
const CHUNK_LEN: usize = 256 * 1024;
const MAXIMUM: u64 = 128 << 30;

/// A tar in memory, in chunks as the pipeline gives them.
struct Chunks<'a> {
    rest: &'a [u8],
    chunk: &'a [u8],
}

impl Input for Chunks<'_> {
    fn next_chunk(&mut self) -> Result<bool> {
        let length = self.rest.len().min(CHUNK_LEN);
        (self.chunk, self.rest) = self.rest.split_at_checked(length).unwrap_or_default();
        Ok(length > 0)
    }

    fn chunk(&self) -> &[u8] {
        self.chunk
    }
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write_at(&mut self, _offset: u64, bytes: &[u8]) -> Result<()> {
        black_box(bytes);
        Ok(())
    }
}

fn tar_events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tar events");
    group.throughput(Throughput::Elements(ENTRIES.into()));
    for (name, archive) in [("ustar", ustar()), ("pax", pax())] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let input = Chunks { rest: &archive, chunk: &[] };
                let mut reader = Reader::new(input, CutEnd::Refused);
                let mut count = 0u32;
                while let Some(entry) = reader.next_entry().expect("the archive is valid") {
                    while let Some(data) = reader.data().expect("the archive is whole") {
                        black_box(data);
                    }
                    black_box(entry);
                    count += 1;
                }
                assert_eq!(count, ENTRIES);
            });
        });
    }
    group.finish();
}

fn directories(criterion: &mut Criterion) {
    let names: Vec<_> = (0..ENTRIES).map(|number| format!("file-{number:05}.txt").into_bytes()).collect();
    let mut group = criterion.benchmark_group("directory");
    group.throughput(Throughput::Elements(ENTRIES.into()));
    group.bench_function("encode", |bencher| {
        let mut encoder = Encoder::new(&Layout::HCSSHIM);
        bencher.iter(|| {
            encoder.start(InodeId::new(InodeNumber::FIRST_FREE), InodeNumber::ROOT);
            for (number, name) in (13..).zip(&names) {
                encoder.push(InodeNumber::new(number), FileType::Regular, name);
            }
            black_box(encoder.finish());
        });
    });
    group.finish();
}

/// Making nodes of entries, and writing all that follows the data: directories, inode table, bitmaps.
fn inodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inodes");
    group.throughput(Throughput::Elements(ENTRIES.into()));
    for (name, archive) in [("without xattrs", ustar()), ("with xattrs", pax())] {
        group.bench_function(format!("create, {name}"), |bencher| {
            bencher.iter_with_large_drop(|| filled(&archive));
        });
        group.bench_function(format!("finish, {name}"), |bencher| {
            bencher.iter_batched(
                || filled(&archive),
                |(tree, storage, mut faults)| finish(tree, storage, &mut faults).expect("there is room").size,
                criterion::BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn filled(archive: &[u8]) -> (Tree, Storage<Nowhere>, Faults) {
    let mut reader = Reader::new(Chunks { rest: archive, chunk: &[] }, CutEnd::Refused);
    let storage = Storage::new(Nowhere, Layout::HCSSHIM, MAXIMUM, false);
    let faults = Faults::new(FaultSet::NONE);
    let tree = new_tree().expect("the first names");
    let mut layer = LayerWriter::new(tree, storage, faults, LayerOptions::default());
    while let Some(entry) = reader.next_entry().expect("the archive is valid") {
        layer.add(&entry, &mut reader).expect("there is room");
    }
    layer.finish().expect("nothing is removed")
}

fn ustar() -> Vec<u8> {
    let mut archive = Vec::new();
    for number in 0..ENTRIES {
        add(&mut archive, &format!("srv/file-{number:05}.txt"), b'0', &[b'x'; 100]);
    }
    archive.resize(archive.len() + 2 * tar::BLOCK_LEN, 0);
    archive
}

/// As tools write them that keep exact times and xattrs.
fn pax() -> Vec<u8> {
    let records = b"30 mtime=1700000000.123456789\n38 SCHILY.xattr.user.note=abcdefghijk\n";
    let mut archive = Vec::new();
    for number in 0..ENTRIES {
        add(&mut archive, "PaxHeaders/0", b'x', records);
        add(&mut archive, &format!("srv/file-{number:05}.txt"), b'0', &[b'x'; 100]);
    }
    archive.resize(archive.len() + 2 * tar::BLOCK_LEN, 0);
    archive
}

fn add(archive: &mut Vec<u8>, name: &str, kind: u8, data: &[u8]) {
    let mut block = [0u8; tar::BLOCK_LEN];
    let mut put = |at: usize, text: &[u8]| {
        block.iter_mut().skip(at).zip(text).for_each(|(place, byte)| *place = *byte);
    };
    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{:011o}\x0014524676400\0        ", data.len()).as_bytes());
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()).for_each(|(place, byte)| *place = byte);
    archive.extend_from_slice(&block);
    archive.extend_from_slice(data);
    archive.resize(archive.len().next_multiple_of(tar::BLOCK_LEN), 0);
}

criterion_group!(parts, tar_events, directories, inodes);
criterion_main!(parts);
