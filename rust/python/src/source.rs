//! A Python file object as the core's source. The interpreter is held only inside its methods.

use std::slice;

use layerdisk_core::error::Result;
use layerdisk_core::pipeline::Source;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBlockingIOError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::error::external;

/// How much is asked of a reader at once, in bytes.
const CHUNK_LEN: usize = 128 * 1024;

/// Part of a Python object's memory, pinned by a buffer export for as long as this lives.
pub struct Chunk {
    owner: Py<PyAny>,
    buffer: PyBuffer<u8>,
    len: usize,
}

impl AsRef<[u8]> for Chunk {
    #[allow(unsafe_code)]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the export keeps the memory where it is and `len` is at most its length. Nobody writes to it:
        // a `bytes` never changes, and a bytearray of ours is only given to readinto once all chunks of it are gone.
        unsafe { slice::from_raw_parts(self.buffer.buf_ptr().cast(), self.len) }
    }
}

pub struct Reader {
    read: Py<PyAny>,
    is_readinto: bool,
    progress: Option<Py<PyAny>>,
    total: u64,
}

impl Reader {
    pub fn new(reader: &Bound<'_, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Self> {
        let readinto = reader.getattr_opt("readinto")?;
        let is_readinto = readinto.is_some();
        let read = readinto.map_or_else(|| reader.getattr("read"), Ok)?.unbind();
        Ok(Self { read, is_readinto, progress, total: 0 })
    }

    fn read_python(&mut self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Option<Chunk>> {
        py.check_signals()?;
        let chunk = if self.is_readinto { self.read_into(py, spare)? } else { self.read_bytes(py, spare)? };
        self.total += chunk.len as u64;
        if let Some(progress) = &self.progress {
            progress.call1(py, (self.total,))?;
        }
        Ok((chunk.len > 0).then_some(chunk))
    }

    fn read_into(&self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Chunk> {
        let mut chunk = match spare {
            Some(chunk) => chunk,
            None => {
                let owner = PyByteArray::new_with(py, CHUNK_LEN, |_| Ok(()))?;
                Chunk { buffer: PyBuffer::get(&owner)?, owner: owner.into_any().unbind(), len: 0 }
            }
        };
        let count = self.read.call1(py, (&chunk.owner,))?;
        chunk.len = count.extract::<Option<usize>>(py)?.ok_or_else(would_block)?;
        if chunk.len > CHUNK_LEN {
            let message = format!("readinto returned {} for a buffer of {CHUNK_LEN} bytes", chunk.len);
            return Err(PyValueError::new_err(message));
        }
        Ok(chunk)
    }

    fn read_bytes(&self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Chunk> {
        drop(spare);
        let owner = self.read.call1(py, (CHUNK_LEN,))?;
        if owner.is_none(py) {
            return Err(would_block());
        }
        // A bytearray or memoryview could change under our hands.
        let bytes = owner.bind(py).cast::<PyBytes>().map_err(|_| not_bytes(owner.bind(py)))?;
        let buffer = PyBuffer::get(bytes)?;
        let len = bytes.as_bytes().len();
        Ok(Chunk { owner, buffer, len })
    }
}

impl Source for Reader {
    type Chunk = Chunk;

    fn read(&mut self, spare: Option<Chunk>) -> Result<Option<Chunk>> {
        Python::attach(|py| self.read_python(py, spare)).map_err(external)
    }

    fn poll(&mut self) -> Result<()> {
        Python::attach(|py| py.check_signals()).map_err(external)
    }
}

fn would_block() -> PyErr {
    PyBlockingIOError::new_err("the reader has no data now: it must not be in non-blocking mode")
}

fn not_bytes(value: &Bound<'_, PyAny>) -> PyErr {
    let class = value.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    PyTypeError::new_err(format!("read returned {class}, not bytes"))
}
