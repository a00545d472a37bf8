//! Files of the operating system, as far as the standard library does not go.
#![allow(unsafe_code)]

use std::{fs::File, io};

/// A second handle of an open file.
pub fn file_of(descriptor: i32) -> io::Result<File> {
    #[cfg(unix)]
    // SAFETY: the caller's file object keeps the descriptor open during the call; from here on the copy counts.
    return unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().map(File::from);
    #[cfg(not(unix))]
    return Err(io::Error::from_raw_os_error(descriptor)); // never asked for there
}

/// Starts writing a range of the file to its device; a mere hint, so that failures do not matter.
pub fn start_write_back(_file: &File, _offset: u64, _length: u64) {
    #[cfg(target_os = "linux")]
    if let (Ok(offset), Ok(length)) = (_offset.try_into(), _length.try_into()) {
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(_file);
        // SAFETY: the descriptor is open for as long as `file` lives; no memory is passed.
        unsafe { libc::sync_file_range(descriptor, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
}
