//! A Python file object as the core's source. The interpreter is held only inside its methods.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use std::{process, slice};

use layerdisk_core::error::{Error, Result};
use layerdisk_core::pipeline::Source;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBlockingIOError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyCFunction};

use crate::error::external;

/// How much is asked of a reader at once, in bytes.
const CHUNK_LEN: usize = 128 * 1024;
/// How long the interpreter's end waits for conversions: more than most readers take to answer.
const END: Duration = Duration::from_secs(2);

pub enum Chunk {
    /// What never changes.
    Bytes(PyBackedBytes),
    /// A bytearray of ours, which nobody else has: see `is_ours`.
    Array { owner: Py<PyByteArray>, buffer: PyBuffer<u8>, len: usize },
}

impl AsRef<[u8]> for Chunk {
    #[allow(unsafe_code)]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            // SAFETY: the export keeps the memory where it is, and `len` is at most its length. Nobody writes to it: while
            // there is a chunk the bytearray is in nobody else's hands, and it is handed out again once that is gone.
            Self::Array { buffer, len, .. } => unsafe {
                slice::from_raw_parts(buffer.buf_ptr().cast(), *len)
            },
        }
    }
}

pub struct Reader {
    read: Py<PyAny>,
    is_readinto: bool,
    may_wait: bool,
    progress: Option<Py<PyAny>>,
    total: u64,
}

impl Reader {
    pub fn new(reader: &Bound<'_, PyAny>, progress: Option<Py<PyAny>>) -> PyResult<Self> {
        let readinto = reader.getattr_opt("readinto")?.filter(|method| !method.is_none());
        let is_readinto = readinto.is_some();
        let read = readinto.map_or_else(|| reader.getattr("read"), Ok)?;
        if !read.is_callable() {
            return Err(PyTypeError::new_err("the reader's method is not callable"));
        }
        let may_wait =
            reader.py().import("layerdisk.io")?.call_method1("may_wait", (reader,))?.is_truthy()?;
        Ok(Self { read: read.unbind(), is_readinto, may_wait, progress, total: 0 })
    }

    fn read_python(&mut self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Option<Chunk>> {
        py.check_signals()?;
        let chunk = if self.is_readinto { self.read_into(py, spare)? } else { self.read_bytes(py, spare)? };
        let len = chunk.as_ref().len();
        self.total += len as u64;
        if let Some(progress) = &self.progress {
            progress.call1(py, (self.total,))?;
        }
        Ok((len > 0).then_some(chunk))
    }

    fn read_into(&self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Chunk> {
        let (owner, buffer) = match spare {
            Some(Chunk::Array { owner, buffer, .. }) => (owner, buffer),
            _ => {
                let owner = PyByteArray::new_with(py, CHUNK_LEN, |_| Ok(()))?;
                (owner.clone().unbind(), PyBuffer::get(&owner)?)
            }
        };
        let count = self.read.call1(py, (&owner,))?.into_bound(py);
        if count.is_none() {
            return Err(would_block());
        }
        let len = match count.extract::<usize>() {
            Ok(len) if len <= buffer.len_bytes() => len,
            Err(error) if !error.is_instance_of::<PyOverflowError>(py) => return Err(error),
            _ => {
                let message =
                    format!("readinto returned {count} for a buffer of {} bytes", buffer.len_bytes());
                return Err(PyValueError::new_err(message));
            }
        };
        let is_ours = is_ours(&owner);
        let chunk = Chunk::Array { owner, buffer, len };
        Ok(if is_ours { chunk } else { Chunk::Bytes(PyBytes::new(py, chunk.as_ref()).into()) })
    }

    fn read_bytes(&self, py: Python<'_>, spare: Option<Chunk>) -> PyResult<Chunk> {
        drop(spare);
        let data = self.read.call1(py, (CHUNK_LEN,))?.into_bound(py);
        if data.is_none() {
            return Err(would_block());
        }
        // A bytearray or memoryview could change under our hands.
        let bytes = data.cast_into::<PyBytes>().map_err(|error| not_bytes(&error.into_inner()))?;
        Ok(Chunk::Bytes(bytes.into()))
    }
}

/// Whether nothing in Python can reach the bytearray: of the two references one is this, and one the buffer's.
#[allow(unsafe_code)]
fn is_ours(owner: &Py<PyByteArray>) -> bool {
    // SAFETY: the object is alive, and the interpreter is held.
    unsafe { pyo3::ffi::Py_REFCNT(owner.as_ptr()) == 2 }
}

impl Source for Reader {
    type Chunk = Chunk;

    fn read(&mut self, spare: Option<Chunk>) -> Result<Option<Chunk>> {
        attached(|py| self.read_python(py, spare))
    }

    fn poll(&mut self) -> Result<()> {
        attached(|py| py.check_signals())
    }

    fn may_wait(&self) -> bool {
        self.may_wait
    }
}

/// Does something with the interpreter held, unless that is at its end.
pub fn attached<T>(work: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T> {
    if is_ending() {
        return Err(Error::canceled());
    }
    Python::try_attach(work).map_or_else(|| Err(Error::canceled()), |done| done.map_err(external))
}

fn would_block() -> PyErr {
    PyBlockingIOError::new_err("the reader has no data now: it must not be in non-blocking mode")
}

fn not_bytes(value: &Bound<'_, PyAny>) -> PyErr {
    let class = value.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    PyTypeError::new_err(format!("read returned {class}, not bytes"))
}

/// The conversions under way in this process, the one of this number: a child by fork has none.
static RUNNING: Mutex<(u32, usize)> = Mutex::new((0, 0));
static ENDED: Condvar = Condvar::new();
/// The thread that ends the interpreter.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

fn is_ending() -> bool {
    ENDING.get().is_some_and(|ending| *ending != thread::current().id())
}

/// Runs a conversion without the interpreter. A daemon thread stays here when the interpreter ends: it may not go back
/// there, since before Python 3.14 it would be ended by unwinding, which Rust answers with an abort.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| {
        count(1);
        let done = work();
        count(-1);
        while is_ending() {
            thread::park();
        }
        done
    })
}

fn count(change: isize) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = if running.0 == process::id() { running.1 } else { 0 };
    *running = (process::id(), before.saturating_add_signed(change));
    ENDED.notify_all();
}

/// Has the interpreter end the conversions of daemon threads before it ends itself.
pub fn end_with(py: Python<'_>) -> PyResult<()> {
    let end = PyCFunction::new_closure(py, None, None, |arguments, _| {
        let _ = ENDING.set(thread::current().id()); // a second end has nothing left to do
        arguments.py().detach(|| {
            let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
            drop(ENDED.wait_timeout_while(running, END, |(process, count)| {
                *process == process::id() && *count > 0
            }));
        });
    })?;
    py.import("atexit")?.call_method1("register", (end,)).map(|_| ())
}
