//! Errors of the core as the exceptions of `layerdisk.errdefs`.

use std::io;

use layerdisk_core::error::{Error, ErrorKind};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

pub fn to_py(error: Error) -> PyErr {
    let code = error.code();
    let class = match error.kind {
        ErrorKind::InvalidTar => "InvalidTar",
        ErrorKind::Truncated => "TruncatedTar",
        ErrorKind::InvalidEntry => "InvalidEntry",
        ErrorKind::DiskSizeExceeded => "DiskSizeExceeded",
        ErrorKind::NotReproducible => "NotReproducible",
        ErrorKind::InvalidArgument => return raise("InvalidArgument", (error.message,)),
        ErrorKind::Canceled => return raise("Canceled", (error.message,)),
        ErrorKind::Io(error) => return os_error(error),
        ErrorKind::External(error) => {
            return match error.downcast::<PyErr>() {
                Ok(error) => *error,
                Err(error) => PyRuntimeError::new_err(error.to_string()),
            };
        }
    };
    raise(class, (error.message, error.entry, error.offset, code))
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

fn raise(class: &str, arguments: impl for<'py> PyCallArgs<'py>) -> PyErr {
    Python::attach(|py| match py.import("layerdisk.errdefs").and_then(|errdefs| errdefs.getattr(class)) {
        Ok(class) => class.call1(arguments).map_or_else(|error| error, PyErr::from_value),
        Err(error) => error,
    })
}
