//! A VHD footer for Python: the fields of `layerdisk.vhd.VhdFooter`, a dict there.

use layerdisk_core::container::vhd::Footer;
use pyo3::IntoPyObject;

#[derive(IntoPyObject)]
pub struct VhdFooter {
    cookie: Vec<u8>,
    features: u32,
    file_format_version: u32,
    data_offset: u64,
    timestamp: u32,
    creator_application: Vec<u8>,
    creator_version: u32,
    creator_host_os: Vec<u8>,
    original_size: u64,
    current_size: u64,
    cylinders: u16,
    heads: u8,
    sectors_per_track: u8,
    disk_type: u32,
    checksum: u32,
    unique_id: Vec<u8>,
    saved_state: u8,
    checksum_valid: bool,
}

impl From<Footer> for VhdFooter {
    fn from(footer: Footer) -> Self {
        Self {
            cookie: footer.cookie.to_vec(),
            features: footer.features.get(),
            file_format_version: footer.file_format_version.get(),
            data_offset: footer.data_offset.get(),
            timestamp: footer.timestamp.get(),
            creator_application: footer.creator_application.to_vec(),
            creator_version: footer.creator_version.get(),
            creator_host_os: footer.creator_host_os.to_vec(),
            original_size: footer.original_size.get(),
            current_size: footer.current_size.get(),
            cylinders: footer.cylinders.get(),
            heads: footer.heads,
            sectors_per_track: footer.sectors_per_track,
            disk_type: footer.disk_type.get(),
            checksum: footer.checksum.get(),
            unique_id: footer.unique_id.to_vec(),
            saved_state: footer.saved_state,
            checksum_valid: footer.checksum.get() == footer.sum(),
        }
    }
}
