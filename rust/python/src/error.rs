//! Errors of the core as the exceptions of `layerdisk.errdefs`.

use std::io;

use layerdisk_core::error::{Error, ErrorKind};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::import_exception;
use pyo3::prelude::*;

import_exception!(layerdisk.errdefs, Canceled);
import_exception!(layerdisk.errdefs, DiskSizeExceeded);
import_exception!(layerdisk.errdefs, InvalidArgument);
import_exception!(layerdisk.errdefs, InvalidEntry);
import_exception!(layerdisk.errdefs, InvalidTar);
import_exception!(layerdisk.errdefs, NotReproducible);
import_exception!(layerdisk.errdefs, TruncatedTar);

pub fn to_py(error: Error) -> PyErr {
    let code = error.code();
    let told = (error.message, error.entry, error.offset, code);
    match error.kind {
        ErrorKind::InvalidTar => InvalidTar::new_err(told),
        ErrorKind::Truncated => TruncatedTar::new_err(told),
        ErrorKind::InvalidEntry => InvalidEntry::new_err(told),
        ErrorKind::DiskSizeExceeded => DiskSizeExceeded::new_err(told),
        ErrorKind::NotReproducible => NotReproducible::new_err(told),
        ErrorKind::InvalidArgument => InvalidArgument::new_err(told.0),
        ErrorKind::Canceled => Canceled::new_err(told.0),
        ErrorKind::Io(error) => os_error(error),
        ErrorKind::External(error) => match error.downcast::<PyErr>() {
            Ok(error) => *error,
            Err(error) => PyRuntimeError::new_err(error.to_string()),
        },
    }
}

/// An error of the operating system with its number, by which Python chooses the class.
pub fn os_error(error: io::Error) -> PyErr {
    let text = error.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_owned();
    match error.raw_os_error() {
        None => PyOSError::new_err(text),
        Some(code) if cfg!(windows) => PyOSError::new_err((0, text, None::<String>, code)),
        Some(code) => PyOSError::new_err((code, text)),
    }
}

/// A failure of Python code that the core is to hand back unchanged.
pub fn external(error: PyErr) -> Error {
    Error::new(ErrorKind::External(Box::new(error)), "")
}
