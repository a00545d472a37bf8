//! The images of tests/golden, byte for byte, without Python: their dumps are read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use common::{Entry, archive, image_of};
use layerdisk_core::faults::FaultSet;
use layerdisk_core::options::Options;

/// Width of the column of field names.
const NAME_LEN: usize = 34;

/// The image that a dump shows: what it does not show is zero.
fn image_of_dump(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let size = text.lines().nth(1).and_then(|line| line.strip_suffix(" bytes")).unwrap();
    let mut image = vec![0; size.parse().unwrap()];
    for line in text.lines().skip(2) {
        assert!(!line.starts_with('*'), "no dump has equal rows so far: {line}");
        let Some((offset, rest)) = line.split_once("  ") else { continue };
        let offset = usize::from_str_radix(offset, 16).unwrap();
        if let Some(bits) = rest.strip_prefix("bits ").or(rest.strip_prefix("bit ")) {
            let (first, last) = bits.split_once(" to ").unwrap_or((bits, bits));
            let (first, last) = (first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap());
            let start = offset - first / 8;
            (first..=last).for_each(|bit| image[start + bit / 8] |= 1 << (bit % 8));
        } else {
            let bytes = row(rest).unwrap_or_else(|| value(&rest[NAME_LEN..]));
            image[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
    }
    image
}

/// Up to 16 bytes in hexadecimal digits.
fn row(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &str| u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2);
    let (digits, _) = text.split_once("  ")?;
    digits.split(' ').map(byte).collect()
}

/// A number, without the zeros at its end, or text in quotes.
fn value(text: &str) -> Vec<u8> {
    let Some(text) = text.strip_prefix('"') else {
        let number = text.split(" = ").next().unwrap();
        return number.parse::<u64>().unwrap().to_le_bytes().to_vec();
    };
    let mut parts = text.strip_suffix('"').unwrap().split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (digits, text) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn assert_golden(name: &str, entries: &[Entry], options: &Options) {
    let (image, _) = image_of(&archive(entries), options).unwrap();
    let expected = image_of_dump(name);
    assert_eq!(image.len(), expected.len());
    for (offset, (found, expected)) in (0..).step_by(16).zip(image.chunks(16).zip(expected.chunks(16))) {
        assert_eq!(found, expected, "{name}, at byte {offset:#x}");
    }
}

#[test]
fn empty() {
    assert_golden("empty", &[], &Options::default());
}

#[test]
fn types() {
    let entries = [
        Entry { mode: 0o1777, uid: 1, gid: 2, mtime: 3, ..Entry::directory("dir") },
        Entry { mode: 0o4755, uid: 0x1234_5678, gid: 0x9ABC_DEF0, ..Entry::file("dir/file", b"hello\n") },
        Entry::symlink("short", "dir/file"),
        Entry::symlink("long", &"0123456789".repeat(6)),
        Entry::link("again", "dir/file"),
        Entry { device: (1, 3), mode: 0o666, ..Entry::new(b'3', "null") },
        Entry { device: (0xABC, 0xDEF12), ..Entry::new(b'3', "large") },
        Entry::new(b'6', "pipe"),
    ];
    assert_golden("types", &entries, &Options::default());
}

#[test]
fn times_and_times_with_hcsshims_faults() {
    let file = |name, mtime: &str, atime: &str, ctime: &str| {
        Entry::file(name, b"")
            .record("mtime", mtime.as_bytes())
            .record("atime", atime.as_bytes())
            .record("ctime", ctime.as_bytes())
    };
    let entries = [
        file("past", "-1.5", "-2147483648", "-99999999999"),
        file("future", "2147483648.5", "4294967296", "15032385536"),
    ];
    assert_golden("times", &entries, &Options::default());
    let options = Options { reproduced: FaultSet::ALL, ..Options::default() };
    assert_golden("times-defects", &entries, &options);
}

#[test]
fn whiteouts() {
    let entries = [
        Entry { mtime: 5, ..Entry::directory("dir") },
        Entry::file("dir/.wh.gone", b""),
        Entry::file("dir/.wh..wh..opq", b""),
    ];
    assert_golden("whiteouts", &entries, &Options { convert_whiteout: true, ..Options::default() });
}

#[test]
fn inline_data() {
    let both = [[b'i'; 60].as_slice(), &[b'x'; 40]].concat();
    let entries = [Entry::file("empty", b""), Entry::file("short", &[b's'; 60]), Entry::file("both", &both)];
    assert_golden("inline-data", &entries, &Options { inline_data: true, ..Options::default() });
}

#[test]
fn xattrs_in_inodes_and_blocks() {
    let acl = |entries: &[(u16, u16, u32)]| {
        let entries = entries.iter().flat_map(|(tag, permissions, id)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        [2, 0, 0, 0].into_iter().chain(entries).collect::<Vec<u8>>()
    };
    let access = acl(&[(1, 6, !0), (2, 4, 1000), (4, 4, !0), (8, 6, 4), (16, 6, !0), (32, 4, !0)]);
    let default = acl(&[(1, 7, !0), (4, 5, !0), (8, 5, 4), (16, 5, !0), (32, 0, !0)]);
    let entries = [
        Entry::file("inline", b"")
            .xattr("user.name", b"value")
            .xattr("security.x", b"")
            .xattr("trusted.y", b"123"),
        Entry::file("block", b"")
            .xattr("user.large", &[b'L'; 100])
            .xattr("user.small", b"s")
            .xattr("trusted.l", &[b'M'; 90]),
        Entry::directory("acl")
            .xattr("system.posix_acl_access", &access)
            .xattr("system.posix_acl_default", &default),
    ];
    assert_golden("xattrs", &entries, &Options::default());
}
