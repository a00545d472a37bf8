//! `layerdisk._rust`: layerdisk-core for Python. No logic of its own; python/layerdisk/_core.py says what each function does.
#![deny(unsafe_code)]

mod error;
mod options;
mod os;
mod sink;
mod source;
mod verity;
mod vhd;

use layerdisk_core::container::vhd as core_vhd;
use layerdisk_core::convert::{Summary, convert_hashed};
use layerdisk_core::ext4::format::superblock::{Field, Superblock};
use layerdisk_core::faults::{FAULTS, Finding};
use layerdisk_core::sink::Nowhere;
use layerdisk_core::sink::file::FileSink;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// The fields of `layerdisk.findings.Finding`.
type RawFinding = (&'static str, Vec<u8>, u64, String, bool, u64);

/// The fields of `layerdisk.tar2ext4.ConvertResult`: a dict in Python.
#[derive(IntoPyObject)]
struct Converted {
    digest: String,
    size: u64,
    image_size: u64,
    blocks: u32,
    inodes: u32,
    directories: u32,
    findings: Vec<RawFinding>,
    verity: Option<verity::Written>,
}

#[pyfunction]
#[pyo3(signature = (reader, sink, options, progress))]
fn convert(
    py: Python<'_>,
    reader: &Bound<'_, PyAny>,
    sink: &Bound<'_, PyAny>,
    options: options::Options,
    progress: Option<Py<PyAny>>,
) -> PyResult<Converted> {
    let hashes = verity::hashes(py, options.verity.as_ref(), sink.is_none())?;
    let options = options.to_core().map_err(error::to_py)?;
    let mut source = source::Reader::new(reader, progress)?;
    let converted = match sink.extract::<i32>() {
        Ok(descriptor) => {
            let file = os::file_of(descriptor).map_err(error::os_error)?;
            let sink = FileSink::new(file, os::system(options.sync)).map_err(error::to_py)?;
            source::run(py, || convert_hashed(&mut source, sink, &options, hashes))
        }
        Err(_) if sink.is_none() => {
            source::run(py, || convert_hashed(&mut source, Nowhere, &options, hashes))
        }
        Err(_) => {
            let sink = sink::Writer::new(sink)?;
            source::run(py, || convert_hashed(&mut source, sink, &options, hashes))
        }
    };
    converted.map(|summary| Converted::new(py, summary)).map_err(error::to_py)
}

impl Converted {
    fn new(py: Python<'_>, summary: Summary) -> Self {
        let finding =
            |f: Finding| (f.fault.code(), f.entry, f.offset, f.message, f.fault.is_identical(), f.count);
        Self {
            digest: summary.digest.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            size: summary.digest.size,
            image_size: summary.image_size,
            blocks: summary.blocks,
            inodes: summary.inodes,
            directories: summary.directories,
            findings: summary.findings.into_iter().map(finding).collect(),
            verity: summary.verity.map(|stored| verity::Written::new(py, stored)),
        }
    }
}

#[pyfunction]
fn vhd_footer(size: u64, unique_id: [u8; 16]) -> Vec<u8> {
    core_vhd::footer(size, unique_id).to_vec()
}

#[pyfunction]
fn vhd_unique_id(content: &str) -> Vec<u8> {
    core_vhd::unique_id(content).to_vec()
}

#[pyfunction]
fn read_vhd_footer(end: &[u8]) -> PyResult<vhd::VhdFooter> {
    core_vhd::Footer::read(end).map(vhd::VhdFooter::from).map_err(error::to_py)
}

#[pyfunction]
fn read_superblock<'py>(py: Python<'py>, start: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let superblock = Superblock::read(start).map_err(error::to_py)?;
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
#[allow(non_upper_case_globals)]
mod _rust {
    use super::{Bound, FAULTS, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::verity::{read_verity_superblock, verity_build, verity_check, verity_superblock};
    #[pymodule_export]
    use super::{convert, read_superblock, read_vhd_footer, vhd_footer, vhd_unique_id};
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let rows: Vec<_> =
            FAULTS.iter().map(|row| (row.name, row.code, row.text, row.fault.is_identical())).collect();
        module.add("FAULTS", rows)?;
        super::source::end_with(module.py())
    }
}
