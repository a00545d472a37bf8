//! A regular file or a block device, written by position so that its own offset and other users of it do not matter.

use std::fs::File;
use std::io;

use crate::error::{Error, Result};
use crate::sink::{Destination, Sink};

/// After this many bytes the kernel is asked to start writing back: then little is left for the sync at the end.
const WRITE_BACK_LEN: u64 = 8 << 20;
/// How much is zeroed at once, in bytes: enough to make system calls rare.
const ZEROS_LEN: u64 = 1 << 20;

/// A function of a file, an offset and a length.
type OnRange<T> = fn(&File, u64, u64) -> T;

/// What the operating system can do and the standard library cannot.
#[derive(Clone, Copy, Default)]
pub struct System {
    /// Starts writing a range to the device, and does not wait.
    pub start_write_back: Option<OnRange<()>>,
    /// Makes a range of a block device read as zeros without sending them, where it can.
    pub zero_range: Option<OnRange<io::Result<()>>>,
}

pub struct FileSink {
    file: File,
    system: System,
    /// Offset up to which write-back was started.
    written_back: u64,
    device: Option<Device>,
}

/// What a block device has and a file has not: old bytes where nothing is written, and a length of its own.
struct Device {
    len: u64,
    /// Up to here all is written, or zeros.
    end: u64,
}

impl FileSink {
    /// Takes an open file or block device, and empties the file.
    pub fn new(file: File, system: System) -> Result<Self> {
        let device = device_len(&file)?.map(|len| Device { len, end: 0 });
        if device.is_none() {
            file.set_len(0)?;
        }
        Ok(Self { file, system, written_back: 0, device })
    }

    fn write_back(&mut self, end: u64) {
        let Some(start_write_back) = self.system.start_write_back else { return };
        let start = self.written_back;
        if end > start + WRITE_BACK_LEN {
            start_write_back(&self.file, start, end - start);
            self.written_back = end;
        }
    }

    /// On a device, zeros what is left out before `offset`, and takes up to `end` as written.
    fn fill(&mut self, offset: u64, end: u64) -> Result<()> {
        let Some(device) = &mut self.device else { return Ok(()) };
        if end > device.len {
            let needed = format!("the image needs at least {end} bytes, and the device has {}", device.len);
            return Err(Error::disk_size(needed));
        }
        let start = device.end;
        device.end = start.max(end);
        if offset > start { zero(&self.file, &self.system, start, offset) } else { Ok(()) }
    }
}

/// A file as it is, to be changed in places.
impl Sink for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(write_all_at(self, bytes, offset)?)
    }
}

impl Sink for FileSink {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset + bytes.len() as u64;
        self.fill(offset, end)?;
        write_all_at(&self.file, bytes, offset)?;
        self.write_back(end);
        Ok(())
    }
}

impl Destination for FileSink {
    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        if self.device.is_some() {
            self.fill(length, length)?;
        } else {
            self.file.set_len(length)?;
        }
        if sync {
            self.file.sync_all()?;
        }
        Ok(())
    }
}

fn zero(file: &File, system: &System, mut start: u64, end: u64) -> Result<()> {
    let zeros = vec![0; ZEROS_LEN.min(end - start) as usize];
    while start < end {
        let length = (end - start).min(ZEROS_LEN);
        let is_done =
            length == ZEROS_LEN && system.zero_range.is_some_and(|zero| zero(file, start, length).is_ok());
        if !is_done {
            write_all_at(file, zeros.get(..length as usize).unwrap_or_default(), start)?;
        }
        start += length;
    }
    Ok(())
}

/// The length of a block device; `None` for everything else.
#[cfg(unix)]
fn device_len(mut file: &File) -> io::Result<Option<u64>> {
    use std::io::{Seek, SeekFrom};
    use std::os::unix::fs::FileTypeExt;

    if !file.metadata()?.file_type().is_block_device() {
        return Ok(None);
    }
    file.seek(SeekFrom::End(0)).map(Some)
}

#[cfg(not(unix))]
fn device_len(_: &File) -> io::Result<Option<u64>> {
    Ok(None)
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
