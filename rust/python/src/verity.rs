//! dm-verity for Python: hashes of data that is there already. python/layerdisk/_core.py says what each function does.

use layerdisk_core::error::{Error, Result};
use layerdisk_core::sink::file::FileSink;
use layerdisk_core::sink::{Destination, Sink};
use layerdisk_core::verity::Parameters;
use layerdisk_core::verity::build::{Data, ReadAt, build};
use layerdisk_core::verity::check::check;
use layerdisk_core::verity::device::{Device, Hashes, Place, Stored, Target};
use layerdisk_core::verity::superblock::{self, Superblock};
use layerdisk_core::verity::tree::Spill;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{external, os_error, to_py};
use crate::{os, sink::Writer};

/// The attributes of `layerdisk.options.VerityOptions`.
#[derive(FromPyObject)]
pub struct Verity {
    algorithm: String,
    data_block_size: u64,
    hash_block_size: u64,
    salt: Vec<u8>,
    superblock: bool,
    uuid: Option<[u8; 16]>,
    level_for_one_block: bool,
    pub sink: Option<Py<PyAny>>,
    pub spill: Option<Py<PyAny>>,
}

/// The fields of what is stored, and the parameters as a superblock has them: dicts in Python.
#[derive(IntoPyObject)]
pub struct Written {
    root: Py<PyBytes>,
    data_blocks: u64,
    hash_offset: u64,
    tree_size: u64,
    end: u64,
    uuid: Py<PyBytes>,
}

#[derive(IntoPyObject)]
pub struct Described {
    algorithm: &'static str,
    data_block_size: u32,
    hash_block_size: u32,
    salt: Py<PyBytes>,
    data_blocks: u64,
    uuid: Py<PyBytes>,
}

/// The root, and of each level how many digests differ and the first of them.
type Checked = (Py<PyBytes>, Vec<(u64, u64)>);

impl Verity {
    pub fn device(&self) -> Result<Device> {
        let parameters =
            Parameters::new(&self.algorithm, self.data_block_size, self.hash_block_size, &self.salt)?;
        let parameters = Parameters { level_for_one_block: self.level_for_one_block, ..parameters };
        Ok(Device { parameters, superblock: self.superblock, uuid: self.uuid })
    }

    pub fn spill(&self, py: Python<'_>) -> Option<Box<dyn Spill>> {
        self.spill.as_ref().map(|spill| Box::new(Writer(spill.clone_ref(py))) as Box<dyn Spill>)
    }
}

impl Written {
    pub fn new(py: Python<'_>, stored: Stored) -> Self {
        let Stored { data_blocks, hash_offset, tree_size, end, .. } = stored;
        let root = PyBytes::new(py, &stored.root).unbind();
        Self { root, data_blocks, hash_offset, tree_size, end, uuid: PyBytes::new(py, &stored.uuid).unbind() }
    }
}

/// A file by its descriptor, or an object with `read_at`.
fn place(object: &Bound<'_, PyAny>) -> PyResult<Box<dyn ReadAt + Send>> {
    match object.extract::<i32>() {
        Ok(descriptor) => Ok(Box::new(os::file_of(descriptor).map_err(os_error)?)),
        Err(_) => Ok(Box::new(Writer(object.clone().unbind()))),
    }
}

/// A file by its descriptor, as it is, or an object with `write_at`.
fn sink_of(object: &Bound<'_, PyAny>) -> PyResult<Box<dyn Sink>> {
    match object.extract::<i32>() {
        Ok(descriptor) => Ok(Box::new(os::file_of(descriptor).map_err(os_error)?)),
        Err(_) => Ok(Box::new(Writer(object.clone().unbind()))),
    }
}

/// The same for a file of which nothing is to stay.
fn destination_of(object: &Bound<'_, PyAny>) -> PyResult<Box<dyn Destination>> {
    match object.extract::<i32>() {
        Ok(descriptor) => {
            let file = os::file_of(descriptor).map_err(os_error)?;
            Ok(Box::new(FileSink::new(file, os::system(false)).map_err(to_py)?))
        }
        Err(_) => Ok(Box::new(Writer::new(object)?)),
    }
}

/// Where the hashes of an image go.
pub fn hashes(py: Python<'_>, verity: Option<&Verity>, nothing_is_kept: bool) -> PyResult<Hashes> {
    let Some(verity) = verity else { return Ok(Hashes::default()) };
    let place = match &verity.sink {
        Some(sink) => Place::Own(destination_of(sink.bind(py))?),
        None if nothing_is_kept => Place::Nowhere,
        None => Place::After,
    };
    Ok(Hashes { place, spill: verity.spill(py) })
}

fn report(progress: &Option<Py<PyAny>>, position: u64) -> Result<()> {
    Python::attach(|py| {
        py.check_signals()?;
        progress.as_ref().map_or(Ok(()), |progress| progress.call1(py, (position,)).map(|_| ()))
    })
    .map_err(external)
}

#[pyfunction]
#[pyo3(signature = (source, length, ranges, verity, offset, progress))]
pub fn verity_build(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    length: Option<u64>,
    ranges: Vec<(u64, u64)>,
    verity: Verity,
    offset: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Written> {
    let source = place(source)?;
    let mut sink = verity.sink.as_ref().map(|sink| sink_of(sink.bind(py))).transpose()?;
    let device = verity.device().map_err(to_py)?;
    let spill = verity.spill(py);
    let stored = py.detach(|| -> Result<Stored> {
        let data = Data { source: source.as_ref(), length, ranges };
        let (mut leaves, length) =
            build(&data, &device.parameters, spill, &mut |position| report(&progress, position))?;
        let target = sink.as_mut().map(|sink| Target { sink: sink.as_mut(), offset });
        device.finish(&mut leaves, length, target)
    });
    stored.map(|stored| Written::new(py, stored)).map_err(to_py)
}

#[pyfunction]
#[pyo3(signature = (source, ranges, verity, data_blocks, tree, offset, progress))]
#[allow(clippy::too_many_arguments)]
pub fn verity_check(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    ranges: Vec<(u64, u64)>,
    verity: Verity,
    data_blocks: u64,
    tree: &Bound<'_, PyAny>,
    offset: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Checked> {
    let (source, tree) = (place(source)?, place(tree)?);
    let parameters = verity.device().map_err(to_py)?.parameters;
    let checked = py.detach(|| {
        let data = Data { source: source.as_ref(), length: None, ranges };
        check(&data, &parameters, data_blocks, tree.as_ref(), offset, &mut |at| report(&progress, at))
    });
    let checked = checked.map_err(to_py)?;
    let levels = checked.levels.iter().map(|bad| (bad.count, bad.first)).collect();
    Ok((PyBytes::new(py, &checked.root).unbind(), levels))
}

#[pyfunction]
pub fn verity_superblock(
    py: Python<'_>,
    verity: Verity,
    data_blocks: u64,
    root: &[u8],
) -> PyResult<Py<PyBytes>> {
    let device = verity.device().map_err(to_py)?;
    let uuid = device.uuid.unwrap_or_else(|| superblock::uuid(&device.parameters, data_blocks, root));
    Ok(PyBytes::new(py, &device.superblock(data_blocks, uuid)).unbind())
}

#[pyfunction]
pub fn read_verity_superblock(py: Python<'_>, start: &[u8]) -> PyResult<Described> {
    let read = Superblock::read(start).map_err(to_py)?;
    Ok(Described {
        algorithm: read.parameters.algorithm.name(),
        data_block_size: read.parameters.data_block_size,
        hash_block_size: read.parameters.hash_block_size,
        salt: PyBytes::new(py, &read.parameters.salt).unbind(),
        data_blocks: read.data_blocks,
        uuid: PyBytes::new(py, &read.uuid).unbind(),
    })
}

impl ReadAt for Writer {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        Python::attach(|py| {
            let bytes = self.0.call_method1(py, "read_at", (offset, buffer.len()))?;
            let bytes = bytes.bind(py).cast::<PyBytes>()?.as_bytes();
            let place = buffer.get_mut(..bytes.len());
            let place = place.ok_or_else(|| to_py(Error::invalid_argument("read_at returned too much")))?;
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        })
        .map_err(external)
    }

    fn is_parallel(&self) -> bool {
        false
    }
}

impl Spill for Writer {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        Sink::write_at(self, offset, bytes)
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        ReadAt::read_at(self, offset, bytes).map(|_| ())
    }
}
