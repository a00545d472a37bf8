//! The conversion of any bytes with any options: it ends, keeps within the disk and does the same however the
//! stream is cut. Input: one byte of options, one for the chunks (`pieces`), then the tar.
#![no_main]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use layerdisk_core::container::Container;
use layerdisk_core::container::vhd::FOOTER_LEN;
use layerdisk_core::convert::{Summary, convert};
use layerdisk_core::error::{Error, ErrorKind, Result};
use layerdisk_core::ext4::layout::groups::maximum_disk_size;
use layerdisk_core::faults::FaultSet;
use layerdisk_core::options::{Options, Payload};
use layerdisk_core::sink::{Destination, Sink};
use layerdisk_core::units::BLOCK_SIZE;
use layerdisk_fuzz::mutation::mutate;
use layerdisk_fuzz::pieces::Pieces;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

const OPTIONS_LEN: usize = 2;
/// Few, since each is a message between threads; the target `tar_reader` has many.
const PIECES: usize = 8;
/// In bytes, for: small layers, next to nothing, a file with an index of extents, one with more than hcsshim gets
/// right (B1).
const MAXIMUM_DISK_SIZES: [i64; 4] = [4 << 20, 64 << 10, 1 << 30, 48 << 30];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed, OPTIONS_LEN)
});

fuzz_target!(|data: &[u8]| {
    let Some(([choice, chunks], tar)) = data.split_first_chunk() else { return };
    let options = options(*choice);
    let (told, blocks) = run(Pieces::whole(tar), tar.len(), &options);
    let (told_again, blocks_again) = run(Pieces::cut(tar, *chunks, PIECES), tar.len(), &options);
    assert_eq!(told, told_again);
    assert!(blocks == blocks_again, "not the same image: {told}");
});

/// Bits 0 to 3: flags, 4: container, 5: payload, 6 and 7: maximum disk size.
fn options(choice: u8) -> Options {
    let has = |bit: u8| choice >> bit & 1 != 0;
    Options {
        convert_whiteout: has(0),
        convert_backslash: has(1),
        inline_data: has(2),
        maximum_disk_size: MAXIMUM_DISK_SIZES[usize::from(choice >> 6)],
        container: if has(4) { Container::Vhd } else { Container::Raw },
        payload: if has(5) { Payload::Raw } else { Payload::Tar },
        reproduced: if has(3) { FaultSet::ALL } else { FaultSet::NONE },
        ..Options::default()
    }
}

/// What a conversion tells, in words, and a hash of each block of the image.
fn run(mut source: Pieces<'_>, tar_len: usize, options: &Options) -> (String, BTreeMap<u64, u64>) {
    let mut image = Image {
        maximum: match options.payload {
            Payload::Raw => tar_len as u64,
            Payload::Tar => maximum_disk_size(options.maximum_disk_size),
        },
        blocks: BTreeMap::new(),
        end: 0,
        footer_at: None,
        length: None,
    };
    match convert(&mut source, &mut image, options) {
        Ok(summary) => {
            check_image(&image, &summary, tar_len, options);
            (format!("{summary:?}"), image.blocks)
        }
        Err(error) => {
            assert_eq!(image.length, None, "a failure finishes nothing");
            check_failure(&error, tar_len);
            (format!("{error:?}"), BTreeMap::new())
        }
    }
}

/// An image of which only a hash of each block is kept.
struct Image {
    /// Bytes that fit without a footer.
    maximum: u64,
    blocks: BTreeMap<u64, u64>,
    end: u64,
    footer_at: Option<u64>,
    length: Option<u64>,
}

impl Sink for &mut Image {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(self.footer_at.is_none() && self.length.is_none(), "nothing follows the footer, or the end");
        if bytes.starts_with(b"conectix") && bytes.len() == FOOTER_LEN {
            self.footer_at = Some(offset);
        } else {
            assert!(offset.is_multiple_of(BLOCK_SIZE));
            assert!(offset + bytes.len() as u64 <= self.maximum, "the image is larger than the disk");
        }
        assert!(!bytes.is_empty());
        for (offset, block) in (offset..).step_by(BLOCK_SIZE as usize).zip(bytes.chunks(BLOCK_SIZE as usize))
        {
            let mut hasher = DefaultHasher::new();
            block.hash(&mut hasher);
            self.blocks.insert(offset, hasher.finish());
        }
        self.end = self.end.max(offset + bytes.len() as u64);
        Ok(())
    }
}

impl Destination for &mut Image {
    fn finish(&mut self, length: u64, _sync: bool) -> Result<()> {
        assert_eq!(self.length.replace(length), None, "finished twice");
        Ok(())
    }
}

fn check_image(image: &Image, summary: &Summary, tar_len: usize, options: &Options) {
    let footer_len = match options.container {
        Container::Raw => 0,
        Container::Vhd => FOOTER_LEN as u64,
    };
    assert_eq!(image.length, Some(summary.image_size + footer_len));
    assert!(summary.image_size <= image.maximum && image.end <= summary.image_size + footer_len);
    assert_eq!(image.footer_at, (footer_len > 0).then_some(summary.image_size));
    assert_eq!(summary.digest.size, tar_len as u64, "the digest is of the tar to its last byte");
    if options.payload == Payload::Tar {
        assert_eq!(summary.image_size, u64::from(summary.blocks) * BLOCK_SIZE);
        assert!(summary.directories >= 2 && summary.inodes >= summary.directories);
    }
    assert!(summary.findings.iter().all(|finding| finding.offset <= tar_len as u64));
    assert!(options.reproduced == FaultSet::NONE || summary.findings.is_empty());
}

/// Sources and sinks do not fail here, so that an error is about the tar and says where; only the size of the
/// disk has to do with all of it.
fn check_failure(error: &Error, tar_len: usize) {
    let at_entry = match error.kind {
        ErrorKind::InvalidTar | ErrorKind::Truncated => false,
        ErrorKind::InvalidEntry | ErrorKind::NotReproducible => true,
        ErrorKind::DiskSizeExceeded => return,
        _ => panic!("unexpected: {error}"),
    };
    assert!(error.offset.is_some_and(|offset| offset <= tar_len as u64), "{error}");
    assert!(!at_entry || error.entry.is_some(), "{error}");
}
