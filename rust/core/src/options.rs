//! What a conversion can be asked for: the one record that crosses into a core.

use crate::container::Container;
use crate::error::{Error, Result, quote};
use crate::ext4::layout::Layout;
use crate::faults::FaultSet;
use crate::verity::device::Device;

/// What the input is, and so what the payload of the container becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A layer tar, which becomes an ext4 image.
    Tar,
    /// Any bytes, taken as they are.
    Raw,
}

/// `layerdisk/options.py` has the same record.
#[derive(Clone, Debug)]
pub struct Options {
    pub payload: Payload,
    pub layout: Layout,
    /// Faults of hcsshim that are wanted in the image.
    pub reproduced: FaultSet,
    pub container: Container,
    pub convert_whiteout: bool,
    pub convert_backslash: bool,
    pub inline_data: bool,
    /// In bytes; 0 and values out of range as `groups::maximum_disk_size` takes them.
    pub maximum_disk_size: i64,
    /// `None`: derived from the content.
    pub vhd_unique_id: Option<[u8; 16]>,
    /// The hashes that are wanted with the image.
    pub verity: Option<Device>,
    /// Return only when the output is on stable storage.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            payload: Payload::Tar,
            layout: Layout::HCSSHIM,
            reproduced: FaultSet::NONE,
            container: Container::Raw,
            convert_whiteout: false,
            convert_backslash: false,
            inline_data: false,
            maximum_disk_size: 0,
            vhd_unique_id: None,
            verity: None,
            sync: false,
        }
    }
}

impl Payload {
    pub const NAMES: &[(&str, Self)] = &[("tar", Self::Tar), ("raw", Self::Raw)];
}

impl Layout {
    /// The layout of that name.
    pub fn by_name(name: &str) -> Result<Self> {
        let names: Vec<_> = Self::ALL.iter().map(|layout| (layout.name, *layout)).collect();
        by_name("layout", &names, name).cloned()
    }
}

impl Container {
    pub const NAMES: &[(&str, Self)] = &[("raw", Self::Raw), ("vhd", Self::Vhd)];
}

/// What a name stands for in one of the tables above.
pub fn by_name<T: Copy>(option: &str, names: &[(&str, T)], name: &str) -> Result<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(known, _)| format!("{known:?}")).collect();
        Error::invalid_argument(format!("{option} is {}, not {}", quote(name.as_bytes()), known.join(" or ")))
    })
}
