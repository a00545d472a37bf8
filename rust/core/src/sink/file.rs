//! A regular file, written by position so that the file's own offset and other users of it do not matter.

use std::fs::File;
use std::io;

use crate::error::Result;
use crate::sink::Sink;

/// After so many bytes the kernel is asked to start writing back: then little is left for the sync at the end.
const WRITE_BACK_LEN: u64 = 8 << 20;

/// Asks the operating system to start writing a range (offset, length) of the file to its device, and does not wait.
pub type StartWriteBack = fn(&File, u64, u64);

pub struct FileSink {
    file: File,
    start_write_back: Option<StartWriteBack>,
    /// Offset up to which that was done.
    written_back: u64,
}

impl FileSink {
    /// Takes an open file that is empty.
    pub fn new(file: File, start_write_back: Option<StartWriteBack>) -> Self {
        Self { file, start_write_back, written_back: 0 }
    }

    fn write_back(&mut self, end: u64) {
        let Some(start_write_back) = self.start_write_back else { return };
        let start = self.written_back;
        if end > start + WRITE_BACK_LEN {
            start_write_back(&self.file, start, end - start);
            self.written_back = end;
        }
    }
}

impl Sink for FileSink {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(&self.file, bytes, offset)?;
        self.write_back(offset + bytes.len() as u64);
        Ok(())
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
