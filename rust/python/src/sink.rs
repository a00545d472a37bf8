//! A Python file object as the core's destination. The interpreter is held only inside its methods.

use layerdisk_core::error::Result;
use layerdisk_core::sink::{Destination, Sink};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::source::attached;

/// An object of Python that takes bytes by position: `layerdisk.io.ObjectSink`.
pub struct Writer(pub Py<PyAny>);

impl Writer {
    /// Takes one that was not used yet, and empties it.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        object.call_method0("start")?;
        Ok(Self(object.clone().unbind()))
    }
}

impl Sink for Writer {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        attached(|py| self.0.call_method1(py, "write_at", (offset, PyBytes::new(py, bytes)))).map(|_| ())
    }
}

impl Destination for Writer {
    /// Such an object may belong to a thread, and signals arrive on the caller's only.
    fn is_bound(&self) -> bool {
        true
    }

    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        attached(|py| self.0.call_method1(py, "finish", (length, sync))).map(|_| ())
    }
}
