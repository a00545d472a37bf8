//! The one system call that the standard library does not have.

use std::fs::File;

/// Starts writing a range of the file to its device; a mere hint, so that failures do not matter.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn start(file: &File, offset: u64, length: u64) {
    use std::os::fd::AsRawFd;

    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else { return };
    // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(not(target_os = "linux"))]
pub fn start(_file: &File, _offset: u64, _length: u64) {}
