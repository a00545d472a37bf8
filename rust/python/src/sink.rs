//! A Python file object as the core's sink. The interpreter is held only inside its methods.

use layerdisk_core::error::Result;
use layerdisk_core::sink::Sink;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::external;

/// An object of Python that takes bytes by position: `layerdisk.io.ObjectSink`.
pub struct Writer(pub Py<PyAny>);

impl Sink for Writer {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Python::attach(|py| self.0.call_method1(py, "write_at", (offset, PyBytes::new(py, bytes))))
            .map(|_| ())
            .map_err(external)
    }

    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        Python::attach(|py| self.0.call_method1(py, "finish", (length, sync))).map(|_| ()).map_err(external)
    }
}
