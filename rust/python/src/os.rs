//! Files of the operating system, as far as the standard library does not go.
#![allow(unsafe_code)]

use std::{fs::File, io};

use layerdisk_core::sink::file::System;

/// A second handle of an open file.
pub fn file_of(descriptor: i32) -> io::Result<File> {
    #[cfg(unix)]
    // SAFETY: the caller's file object keeps the descriptor open during the call; from here on the copy counts.
    return unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().map(File::from);
    #[cfg(not(unix))]
    return Err(io::Error::from_raw_os_error(descriptor)); // never asked for there
}

/// What this system offers; starting to write early only where everything is to be on disk in the end.
pub fn system(sync: bool) -> System {
    #[cfg(target_os = "linux")]
    return System {
        start_write_back: sync.then_some(linux::start_write_back),
        zero_range: Some(linux::zero_range),
    };
    #[cfg(not(target_os = "linux"))]
    return System { start_write_back: None, ..System::default() };
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsRawFd;
    use std::{fs::File, io};

    /// `_IO(0x12, 127)`. Source: kernel, include/uapi/linux/fs.h.
    const BLKZEROOUT: u32 = 0x127f;

    /// A mere hint, so that failures do not matter.
    pub fn start_write_back(file: &File, offset: u64, length: u64) {
        if let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) {
            // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
            unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
        }
    }

    pub fn zero_range(file: &File, offset: u64, length: u64) -> io::Result<()> {
        let range = [offset, length];
        // SAFETY: the descriptor is open, and the call reads two u64.
        match unsafe { libc::ioctl(file.as_raw_fd(), BLKZEROOUT as _, range.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
