//! The conversion: tar -> ext4 -> [verity] -> container.

use crate::container::vhd;
use crate::error::Result;
use crate::ext4::finish::finish;
use crate::ext4::layout::groups::maximum_disk_size;
use crate::ext4::storage::{Storage, new_tree};
use crate::faults::{Fault, FaultSet, Faults, Finding};
use crate::layer::{LayerOptions, LayerWriter};
use crate::options::{Options, Payload};
use crate::pipeline::{self, Source};
use crate::sink::output::Output;
use crate::sink::{Destination, Sink};
use crate::stream::{Digest, Input};
use crate::tar::{CutEnd, Reader};
use crate::units::BlockNumber;
use crate::verity::device::{Hashes, Stored};
use crate::verity::leaves::{Hashing, Leaves};
use crate::verity::tree::Tree;

/// What came of a conversion.
#[derive(Debug)]
pub struct Summary {
    /// Of the plain tar to its last byte.
    pub digest: Digest,
    /// Bytes of the file system, any footer left out.
    pub image_size: u64,
    pub blocks: u32,
    pub inodes: u32,
    pub directories: u32,
    pub findings: Vec<Finding>,
    /// The hashes, where they were wanted.
    pub verity: Option<Stored>,
}

/// Converts what the source gives into an image in the sink; any hashes follow the image.
pub fn convert<S: Source>(source: &mut S, sink: impl Destination, options: &Options) -> Result<Summary> {
    convert_hashed(source, sink, options, Hashes::default())
}

/// The same with a choice of where the hashes go.
pub fn convert_hashed<S: Source>(
    source: &mut S,
    mut sink: impl Destination,
    options: &Options,
    hashes: Hashes,
) -> Result<Summary> {
    let Hashes { place, spill } = hashes;
    let mut leaves = options.verity.as_ref().map(|device| Leaves::new(Tree::new(&device.parameters, spill)));
    let (mut written, digest) = pipeline::run(source, &mut sink, |chunks, sink| {
        let sink = Hashing { sink, leaves: leaves.as_mut() };
        match options.payload {
            Payload::Tar => write_ext4(chunks, sink, options),
            Payload::Raw => copy(chunks, sink),
        }
    })?;
    written.digest = digest;
    let mut length = written.image_size;
    if let (Some(device), Some(leaves)) = (&options.verity, &mut leaves) {
        let (stored, end) = device.finish_image(leaves, length, place, &mut sink, options.sync)?;
        written.verity = Some(stored);
        length = end;
    }
    let unique_id =
        || options.vhd_unique_id.unwrap_or_else(|| vhd::unique_id(&content_name(&written, options)));
    let length = options.container.epilogue(&mut sink, length, unique_id)?;
    sink.finish(length, options.sync)?;
    Ok(written)
}

fn write_ext4(input: &mut impl Input, sink: impl Sink, options: &Options) -> Result<Summary> {
    let faults = Faults::new(options.reproduced);
    let cut_end = match faults.reproduces(Fault::B24CutPadding) {
        true => CutEnd::Accepted,
        false => CutEnd::Refused,
    };
    let mut reader = Reader::new(input, cut_end);
    let maximum = maximum_disk_size(options.maximum_disk_size);
    let storage = Storage::new(sink, options.layout.clone(), maximum, options.inline_data);
    let Options { convert_whiteout, convert_backslash, .. } = *options;
    let mut layer =
        LayerWriter::new(new_tree()?, storage, faults, LayerOptions { convert_whiteout, convert_backslash });
    let mut is_empty = true;
    while let Some(entry) = reader.next_entry()? {
        is_empty = false;
        layer.faults().enter(&entry.name, entry.offset);
        layer.add(&entry, &mut reader).map_err(|error| error.in_entry(&entry.name, entry.offset))?;
    }
    let end = reader.position();
    layer.faults().enter(b"", end);
    if is_empty && reader.has_trailing_data()? {
        layer.faults().found(Fault::N17);
    }
    if reader.ended_without_marker() {
        layer.faults().found(Fault::B24NoMarker);
    }
    let (tree, storage, mut faults) = layer.finish()?;
    let image = finish(tree, storage, &mut faults)?;
    Ok(Summary {
        digest: Digest { sha256: [0; 32], size: 0 }, // known when the last byte is read
        image_size: image.size,
        blocks: image.blocks,
        inodes: image.inodes,
        directories: image.directories,
        findings: faults.into_findings(),
        verity: None,
    })
}

/// The input as it is.
fn copy(input: &mut impl Input, sink: impl Sink) -> Result<Summary> {
    let mut output = Output::new(sink, BlockNumber::default(), u64::MAX);
    while input.next_chunk()? {
        output.write(input.chunk())?;
    }
    let image_size = output.position();
    output.finish()?;
    Ok(Summary {
        digest: Digest { sha256: [0; 32], size: 0 },
        image_size,
        blocks: 0,
        inodes: 0,
        directories: 0,
        findings: Vec::new(),
        verity: None,
    })
}

/// What the unique id is derived from: the input, and all that makes another image of it.
fn content_name(summary: &Summary, options: &Options) -> String {
    let digest = hex(&summary.digest.sha256);
    // Hashes on a device of their own do not change the image.
    let hashes = match &summary.verity {
        Some(stored) if stored.hash_offset > 0 => {
            format!(" verity={} uuid={}", hex(&stored.root), hex(&stored.uuid))
        }
        _ => String::new(),
    };
    match options.payload {
        Payload::Raw => format!("raw sha256:{digest}{hashes}"),
        Payload::Tar => format!(
            "{} sha256:{digest} whiteout={} backslash={} inline={} reproduce={} maximum={}{hashes}",
            options.layout.name,
            u8::from(options.convert_whiteout),
            u8::from(options.convert_backslash),
            u8::from(options.inline_data),
            u8::from(options.reproduced != FaultSet::NONE),
            maximum_disk_size(options.maximum_disk_size),
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
