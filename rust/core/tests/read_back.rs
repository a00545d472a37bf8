//! Images read by the crate ext4-view, which shares no code with this one and checks what has a checksum.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::{Entry, archive, image_of};
use ext4_view::{Ext4, FileType};
use layerdisk_core::ext4::format::checksum::Checksums;
use layerdisk_core::ext4::format::features::Features;
use layerdisk_core::ext4::layout::Layout;
use layerdisk_core::options::Options;

/// Path -> what is there, in words.
type Listing = BTreeMap<String, String>;

fn listing(image: Vec<u8>) -> Listing {
    let view = Ext4::load(Box::new(image)).unwrap();
    let mut found = Listing::new();
    let mut ahead = vec!["/".to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in view.read_dir(directory.as_str()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().as_str().unwrap().to_owned();
            if name == "." || name == ".." || name == "lost+found" {
                continue;
            }
            let path = format!("{directory}{name}");
            let about = view.symlink_metadata(path.as_str()).unwrap();
            let owner = format!("{:o} {}:{}", about.mode() & 0o7777, about.uid(), about.gid());
            let what = match about.file_type() {
                FileType::Directory => {
                    ahead.push(format!("{path}/"));
                    "directory".into()
                }
                FileType::Regular => {
                    let data = view.read(path.as_str()).unwrap();
                    format!("file of {} bytes, {:x}", data.len(), checksum(&data))
                }
                FileType::Symlink => {
                    format!("-> {}", view.read_link(path.as_str()).unwrap().to_str().unwrap())
                }
                other => format!("{other:?}"),
            };
            found.insert(path, format!("{what} {owner}"));
        }
    }
    found
}

fn assert_same(found: &Listing, expected: &Listing) {
    for path in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(path), expected.get(path), "{path}");
    }
}

/// Fletcher's, of which only equality matters.
fn checksum(data: &[u8]) -> u64 {
    data.iter().fold((0u64, 0u64), |(a, b), &byte| ((a + u64::from(byte)) % 65521, (a + b) % 65521)).1
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + (i >> 9)) as u8).collect()
}

fn file(name: &str, len: usize) -> (Entry, String) {
    let bytes = data(len);
    let what = format!("file of {len} bytes, {:x} 644 0:0", checksum(&bytes));
    (Entry::file(name, &bytes), what)
}

/// A layer with a bit of everything, and what is in it.
fn layer() -> (Vec<u8>, Listing) {
    let mut entries = vec![
        Entry { mode: 0o1777, uid: 5, gid: 70_000, ..Entry::directory("d") },
        Entry::symlink("d/short", "target"),
        Entry::symlink("d/long", &"t/".repeat(40)),
        Entry { device: (8, 300), ..Entry::new(b'4', "block") },
        Entry::new(b'6', "fifo"),
        Entry::file("made/parents/f", b"1"),
        Entry::link("linked", "made/parents/f"),
        Entry::file("x", b"data").xattr("user.a", &[1; 300]).xattr("user.b", b"2"),
    ];
    let one = format!("file of 1 bytes, {:x} 644 0:0", checksum(b"1"));
    let mut expected: Listing = [
        ("/d", "directory 1777 5:70000".into()),
        ("/d/short", "-> target 777 0:0".into()),
        ("/d/long", format!("-> {} 777 0:0", "t/".repeat(40))),
        ("/block", "BlockDevice 644 0:0".into()),
        ("/fifo", "Fifo 644 0:0".into()),
        ("/made", "directory 755 0:0".into()),
        ("/made/parents", "directory 755 0:0".into()),
        ("/made/parents/f", one.clone()),
        ("/linked", one),
        ("/x", format!("file of 4 bytes, {:x} 644 0:0", checksum(b"data"))),
    ]
    .map(|(path, what): (&str, String)| (path.to_owned(), what))
    .into();
    for len in [0, 1, 4095, 4096, 4097, 70_000, 300_001] {
        let (entry, what) = file(&format!("d/file-{len}"), len);
        entries.push(entry);
        expected.insert(format!("/d/file-{len}"), what);
    }
    for i in 0..300 {
        let (entry, what) = file(&format!("many/{i:0>80}"), i);
        entries.push(entry);
        expected.insert(format!("/many/{i:0>80}"), what);
    }
    expected.insert("/many".into(), "directory 755 0:0".into());
    (archive(&entries), expected)
}

#[test]
fn a_layer_is_read_back_as_it_was() {
    let (tar, expected) = layer();
    let (image, summary) = image_of(&tar, &Options::default()).unwrap();
    assert_eq!(summary.image_size, image.len() as u64);
    assert_eq!(summary.inodes as usize, expected.len() - 1 + 2, "one name is a link; root and lost+found");
    assert_same(&listing(image), &expected);
}

/// Not a layout that is offered: it shows that each structure gets what its checksum needs.
#[test]
fn checksums_of_every_structure_are_right() {
    let (tar, expected) = layer();
    let uuid = *b"0123456789abcdef";
    let layout = Layout {
        uuid,
        checksums: Checksums::crc32c(uuid),
        features: Layout::HCSSHIM.features.with(Features::METADATA_CSUM),
        ..Layout::HCSSHIM
    };
    let options = Options { layout, ..Options::default() };
    let (mut image, _) = image_of(&tar, &options).unwrap();
    assert_same(&listing(image.clone()), &expected);
    // The crate does look: a changed byte of the superblock is found.
    image[1024 + 0x78] ^= 1;
    assert!(Ext4::load(Box::new(image)).is_err());
}

#[test]
fn what_later_entries_replace_is_gone() {
    let entries = [
        Entry::file("a/old", b"1"),
        Entry::file("f", &data(5000)),
        Entry::file("a", b"now a file"),
        Entry::file("f", b"short"),
        Entry::symlink("l", "d"),
        Entry::directory("d"),
        Entry::file("l/through", b"2"),
        Entry::file(".wh.w", b""),
        Entry::file("w/in", b"3"),
    ];
    let options = Options { convert_whiteout: true, ..Options::default() };
    let (image, summary) = image_of(&archive(&entries), &options).unwrap();
    let of = |data: &[u8]| format!("file of {} bytes, {:x} 644 0:0", data.len(), checksum(data));
    let expected: Listing = [
        ("/a", of(b"now a file")),
        ("/f", of(b"short")),
        ("/l", "-> d 777 0:0".into()),
        ("/d", "directory 755 0:0".into()),
        ("/d/through", of(b"2")),
        ("/w", "directory 755 0:0".into()),
        ("/w/in", of(b"3")),
    ]
    .map(|(path, what): (&str, String)| (path.to_owned(), what))
    .into();
    assert_same(&listing(image), &expected);
    let codes: Vec<_> = summary.findings.iter().map(|finding| finding.fault.code()).collect();
    assert_eq!(codes, ["B13", "B9", "B9", "B11", "B9", "B13"]);
}
