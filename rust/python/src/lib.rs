//! `layerdisk._rust`: layerdisk-core for Python. No logic of its own; python/layerdisk/_core.py says what each function does.
#![deny(unsafe_code)]

mod error;
mod os;
mod sink;
mod source;

use layerdisk_core::container::Container;
use layerdisk_core::container::vhd;
use layerdisk_core::convert::Summary;
use layerdisk_core::error::Result;
use layerdisk_core::ext4::superblock::{Field, Superblock};
use layerdisk_core::faults::FaultSet;
use layerdisk_core::options::{Layout, Options, Payload, by_name};
use layerdisk_core::sink::Sink;
use layerdisk_core::sink::file::FileSink;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

type Finding = (&'static str, Vec<u8>, u64, String, bool);
type Converted = (String, u64, u64, u32, u32, u32, Vec<Finding>);

#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn convert(
    py: Python<'_>,
    reader: &Bound<'_, PyAny>,
    sink: &Bound<'_, PyAny>,
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
        payload: if vhd == 2 { Payload::Raw } else { Payload::Tar },
        layout: by_name("layout", Layout::NAMES, layout).map_err(error::to_py)?,
        reproduced: if reproduce_defects { FaultSet::ALL } else { FaultSet::NONE },
        container: if vhd == 0 { Container::Raw } else { Container::Vhd },
        convert_whiteout,
        convert_backslash,
        inline_data,
        maximum_disk_size,
        vhd_unique_id,
        sync,
    };
    let mut source = source::Reader::new(reader, progress)?;
    let converted = match sink.extract::<i32>() {
        Ok(descriptor) => {
            let file = os::file_of(descriptor).map_err(error::os_error)?;
            run(py, &mut source, FileSink::new(file, sync.then_some(os::start_write_back)), &options)
        }
        Err(_) => run(py, &mut source, sink::Writer(sink.clone().unbind()), &options),
    };
    converted.map(to_tuple).map_err(error::to_py)
}

fn run(py: Python<'_>, source: &mut source::Reader, sink: impl Sink, options: &Options) -> Result<Summary> {
    py.detach(|| layerdisk_core::convert::convert(source, sink, options))
}

fn to_tuple(summary: Summary) -> Converted {
    let digest = summary.digest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let findings = summary
        .findings
        .into_iter()
        .map(|f| (f.fault.code(), f.entry, f.offset, f.message, f.fault.is_identical()))
        .collect();
    let Summary { image_size, blocks, inodes, directories, .. } = summary;
    (digest, summary.digest.size, image_size, blocks, inodes, directories, findings)
}

#[pyfunction]
fn vhd_footer(size: u64, unique_id: [u8; 16]) -> Vec<u8> {
    vhd::footer(size, unique_id).to_vec()
}

#[pyfunction]
fn vhd_unique_id(content: &str) -> Vec<u8> {
    vhd::unique_id(content).to_vec()
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
    #[pymodule_export]
    use super::{convert, read_superblock, vhd_footer, vhd_unique_id};
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
