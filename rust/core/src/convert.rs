//! The conversion: tar -> ext4 -> container.

use std::sync::atomic::AtomicBool;

use crate::container::vhd;
use crate::entry::Mapper;
use crate::error::Result;
use crate::ext4::layout::maximum_disk_size;
use crate::ext4::writer::{Note, Writer};
use crate::options::{Options, Vhd};
use crate::pipeline::{self, Cancelable, Digest, Source};
use crate::sink::Sink;
use crate::sink::output::Output;
use crate::tar::{self, Input, Reader};
use crate::units::BlockNumber;

/// Where the image differs from hcsshim's, or where its bytes are hcsshim's although they are no good.
#[derive(Debug)]
pub struct Finding {
    /// Fault code of docs/format.md.
    pub code: &'static str,
    /// Name of the tar entry; empty for the layer as a whole.
    pub entry: Vec<u8>,
    /// Byte offset of the entry in the tar.
    pub offset: u64,
    pub message: String,
    pub identical: bool,
}

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
}

/// Converts the tar that the source gives into an image in the sink.
pub fn convert<S: Source>(source: &mut S, sink: impl Sink, options: &Options) -> Result<Summary> {
    let canceled = AtomicBool::new(false);
    let sink = Cancelable { sink, canceled: &canceled };
    let ((mut written, mut sink), digest) = pipeline::run(source, &canceled, |chunks| {
        pipeline::write_behind(sink, |sink| match options.vhd {
            Vhd::Only => copy(chunks, sink),
            _ => write_ext4(chunks, sink, options),
        })
    })?;
    written.digest = digest;
    let mut length = written.image_size;
    if options.vhd != Vhd::None {
        let id = options.vhd_unique_id.unwrap_or_else(|| vhd::unique_id(&content_name(&written, options)));
        sink.write_at(length, &vhd::footer(length, id))?;
        length += vhd::FOOTER_LEN as u64;
    }
    sink.finish(length, options.sync)?;
    Ok(written)
}

fn write_ext4(input: &mut impl Input, sink: impl Sink, options: &Options) -> Result<Summary> {
    let writer =
        Writer::new(sink, options.rules, maximum_disk_size(options.maximum_disk_size), options.inline_data);
    let mut reader = Reader::new(input, tar::Rules { strict_end: !options.rules.reproduce });
    let mut mapper = Mapper::new(writer, options);
    let mut findings = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        mapper.add(&entry, &mut reader).map_err(|error| error.in_entry(&entry.name, entry.offset))?;
        report(&mut findings, mapper.take_notes(), &entry.name, entry.offset);
    }
    let end = reader.position();
    if reader.ended_without_marker() && !options.rules.reproduce {
        report(&mut findings, vec![no_end_marker()], b"", end);
    }
    let image = mapper.close()?;
    report(&mut findings, image.notes, b"", end);
    Ok(Summary {
        digest: Digest { sha256: [0; 32], size: 0 }, // known when the last byte is read
        image_size: image.size,
        blocks: image.blocks,
        inodes: image.inodes,
        directories: image.directories,
        findings,
    })
}

/// The input as it is.
fn copy(input: &mut impl Input, sink: impl Sink) -> Result<Summary> {
    let mut output = Output::new(sink, BlockNumber(0), u64::MAX);
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
    })
}

fn report(findings: &mut Vec<Finding>, notes: Vec<Note>, entry: &[u8], offset: u64) {
    findings.extend(notes.into_iter().map(|Note { code, message, identical }| Finding {
        code,
        entry: entry.to_vec(),
        offset,
        message,
        identical,
    }));
}

fn no_end_marker() -> Note {
    Note {
        code: "B24",
        message: "the archive ends without its end marker: it may be cut short".into(),
        identical: true,
    }
}

/// What the unique id is derived from: the input, and all that makes another image of it.
fn content_name(summary: &Summary, options: &Options) -> String {
    let digest: String = summary.digest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    if options.vhd == Vhd::Only {
        return format!("raw sha256:{digest}");
    }
    format!(
        "hcsshim sha256:{digest} whiteout={} backslash={} inline={} reproduce={} maximum={}",
        u8::from(options.convert_whiteout),
        u8::from(options.convert_backslash),
        u8::from(options.inline_data),
        u8::from(options.rules.reproduce),
        maximum_disk_size(options.maximum_disk_size),
    )
}
