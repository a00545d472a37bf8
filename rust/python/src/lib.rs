//! `layerdisk._rust`: layerdisk-core for Python. No logic of its own; python/layerdisk/_core.py says what each function does.
#![deny(unsafe_code)]

mod error;
mod io;
mod write_back;

use std::fs::File;

use layerdisk_core::container::vhd;
use layerdisk_core::convert::Summary;
use layerdisk_core::error::Error;
use layerdisk_core::ext4::superblock::{Field, Superblock};
use layerdisk_core::options::{self, Options, Vhd};
use layerdisk_core::sink::Sink;
use layerdisk_core::sink::file::FileSink;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

type Finding = (&'static str, Vec<u8>, u64, String, bool);
type Converted = (String, u64, u64, u32, u32, u32, Vec<Finding>);

#[pyfunction]
#[pyo3(signature = (reader, writer, convert_whiteout, convert_backslash, inline_data, maximum_disk_size, vhd, layout,
                    reproduce_defects, vhd_unique_id, progress, sync))]
#[allow(clippy::too_many_arguments)]
fn convert(
    py: Python<'_>,
    reader: &Bound<'_, PyAny>,
    writer: &Bound<'_, PyAny>,
    convert_whiteout: bool,
    convert_backslash: bool,
    inline_data: bool,
    maximum_disk_size: i64,
    vhd: u8,
    layout: &str,
    reproduce_defects: bool,
    vhd_unique_id: Option<[u8; 16]>,
    progress: Option<Py<PyAny>>,
    sync: bool,
) -> PyResult<Converted> {
    let options = Options {
        convert_whiteout,
        convert_backslash,
        inline_data,
        maximum_disk_size,
        vhd: Vhd::from_number(vhd).map_err(|error| error::to_py(py, error))?,
        rules: options::rules(layout, reproduce_defects).map_err(|error| error::to_py(py, error))?,
        vhd_unique_id,
        sync,
    };
    let mut source = io::Reader::new(reader, progress)?;
    let converted = match regular_file(writer)? {
        Some(file) => {
            let sink = FileSink::new(file, sync.then_some(write_back::start))
                .map_err(|error| error::os_error(&error))?;
            let converted = run(py, &mut source, sink, &options);
            writer.call_method1("seek", (0, 2))?;
            converted
        }
        None => run(py, &mut source, io::Writer::new(writer)?, &options),
    };
    converted.map(to_tuple).map_err(|error| error::to_py(py, error))
}

fn run(
    py: Python<'_>,
    source: &mut io::Reader,
    sink: impl Sink,
    options: &Options,
) -> Result<Summary, Error> {
    py.detach(|| layerdisk_core::convert::convert(source, sink, options))
}

fn to_tuple(summary: Summary) -> Converted {
    let digest = summary.digest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let findings =
        summary.findings.into_iter().map(|f| (f.code, f.entry, f.offset, f.message, f.identical)).collect();
    let Summary { image_size, blocks, inodes, directories, .. } = summary;
    (digest, summary.digest.size, image_size, blocks, inodes, directories, findings)
}

/// The operating system's file behind a file object, to be written by position; `None` for other objects.
#[cfg(unix)]
#[allow(unsafe_code)]
fn regular_file(writer: &Bound<'_, PyAny>) -> PyResult<Option<File>> {
    use std::os::fd::BorrowedFd;

    let Ok(descriptor) = writer.call_method0("fileno").and_then(|fd| fd.extract::<i32>()) else {
        return Ok(None);
    };
    if descriptor < 0 {
        return Ok(None);
    }
    if let Some(flush) = writer.getattr_opt("flush")? {
        flush.call0()?;
    }
    // SAFETY: the file object, which the caller holds, keeps its descriptor open; from here on the copy counts.
    let file = File::from(unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?);
    Ok(file.metadata()?.is_file().then_some(file))
}

#[cfg(not(unix))]
fn regular_file(_writer: &Bound<'_, PyAny>) -> PyResult<Option<File>> {
    Ok(None)
}

#[pyfunction]
fn vhd_footer<'py>(py: Python<'py>, size: u64, unique_id: [u8; 16]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &vhd::footer(size, unique_id))
}

#[pyfunction]
fn vhd_unique_id<'py>(py: Python<'py>, content: &str) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &vhd::unique_id(content))
}

#[pyfunction]
fn read_superblock<'py>(py: Python<'py>, start: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let superblock = Superblock::read(start).map_err(|error| error::to_py(py, error))?;
    let fields = PyDict::new(py);
    for (name, field) in superblock.fields() {
        match field {
            Field::Number(number) => fields.set_item(name, number)?,
            Field::Bytes(bytes) => fields.set_item(name, PyBytes::new(py, &bytes))?,
        }
    }
    Ok(fields)
}

#[pymodule]
fn _rust(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(convert, module)?)?;
    module.add_function(wrap_pyfunction!(vhd_footer, module)?)?;
    module.add_function(wrap_pyfunction!(vhd_unique_id, module)?)?;
    module.add_function(wrap_pyfunction!(read_superblock, module)?)?;
    Ok(())
}
