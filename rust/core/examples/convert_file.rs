//! Converts a plain tar with the core alone: `convert_file IN [OUT]`, without OUT into memory.
//! benches/callgrind.sh counts its instructions; `perf record` shows the core without an interpreter.
#![allow(clippy::expect_used)]

use std::env;
use std::fs::File;
use std::io::Read;

use layerdisk_core::container::Container;
use layerdisk_core::convert::convert;
use layerdisk_core::error::Result;
use layerdisk_core::options::Options;
use layerdisk_core::pipeline::Source;
use layerdisk_core::sink::file::{FileSink, System};

/// How much is read at once, in bytes.
const CHUNK_LEN: usize = 1024 * 1024;

struct FileSource(File);

impl Source for FileSource {
    type Chunk = Vec<u8>;

    fn read(&mut self, spare: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        let mut chunk = spare.unwrap_or_default();
        chunk.resize(CHUNK_LEN, 0);
        let count = self.0.read(&mut chunk)?;
        chunk.truncate(count);
        Ok((count > 0).then_some(chunk))
    }

    fn poll(&mut self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    let mut arguments = env::args_os().skip(1);
    let input = arguments.next().expect("usage: convert_file IN [OUT]");
    let mut source = FileSource(File::open(input).expect("the input opens"));
    let options = Options {
        convert_whiteout: true,
        maximum_disk_size: 128 << 30,
        container: Container::Vhd,
        ..Options::default()
    };
    let summary = match arguments.next() {
        Some(output) => {
            let sink = FileSink::new(File::create(output).expect("the output opens"), System::default())
                .expect("the output is empty");
            convert(&mut source, sink, &options)
        }
        None => convert(&mut source, Vec::new(), &options),
    };
    let summary = summary.unwrap_or_else(|error| {
        eprintln!("convert_file: {error}");
        std::process::exit(1)
    });
    println!("{} inodes, {} blocks", summary.inodes, summary.blocks);
}
