//! `layerdisk/options.py: Options`, as the core's record.

use layerdisk_core::container::Container;
use layerdisk_core::error::Result;
use layerdisk_core::ext4::layout::Layout;
use layerdisk_core::faults::FaultSet;
use layerdisk_core::options::{self, Payload, by_name};
use pyo3::FromPyObject;

use crate::verity::Verity;

/// The attributes of the Python record, by their names.
#[derive(FromPyObject)]
pub struct Options {
    payload: String,
    layout: String,
    reproduce_defects: bool,
    container: String,
    convert_whiteout: bool,
    convert_backslash: bool,
    inline_data: bool,
    maximum_disk_size: i64,
    vhd_unique_id: Option<[u8; 16]>,
    pub verity: Option<Verity>,
    sync: bool,
}

impl Options {
    pub fn to_core(&self) -> Result<options::Options> {
        Ok(options::Options {
            payload: by_name("payload", Payload::NAMES, &self.payload)?,
            layout: Layout::by_name(&self.layout)?,
            reproduced: if self.reproduce_defects { FaultSet::ALL } else { FaultSet::NONE },
            container: by_name("container", Container::NAMES, &self.container)?,
            convert_whiteout: self.convert_whiteout,
            convert_backslash: self.convert_backslash,
            inline_data: self.inline_data,
            maximum_disk_size: self.maximum_disk_size,
            vhd_unique_id: self.vhd_unique_id,
            verity: self.verity.as_ref().map(Verity::device).transpose()?,
            sync: self.sync,
        })
    }
}
