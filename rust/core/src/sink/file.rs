//! A regular file, written by position so that the file's own offset and other users of it do not matter.

use std::fs::File;
use std::io;

use crate::error::Result;
use crate::sink::Sink;

pub struct FileSink {
    file: File,
}

impl FileSink {
    /// Takes an open file and empties it.
    pub fn new(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        Ok(Self { file })
    }
}

impl Sink for FileSink {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(write_all_at(&self.file, bytes, offset)?)
    }

    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        self.file.set_len(length)?;
        if sync {
            self.file.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
        offset += written as u64;
    }
    Ok(())
}
