//! What a conversion can be asked for.

use crate::error::{Error, Result};
use crate::ext4::rules::Rules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vhd {
    /// No footer.
    None,
    /// A footer behind the image.
    Append,
    /// A footer behind the input, which is taken as it is.
    Only,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub convert_whiteout: bool,
    pub convert_backslash: bool,
    pub inline_data: bool,
    /// In bytes; 0 and values out of range as `layout::maximum_disk_size` takes them.
    pub maximum_disk_size: i64,
    pub vhd: Vhd,
    pub rules: Rules,
    /// `None`: derived from the content.
    pub vhd_unique_id: Option<[u8; 16]>,
    /// Return only when the output is on stable storage.
    pub sync: bool,
}

impl Vhd {
    /// 0 none, 1 append, 2 only.
    pub fn from_number(number: u8) -> Result<Self> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Append),
            2 => Ok(Self::Only),
            _ => Err(Error::invalid_argument(format!("vhd is {number}, not 0, 1 or 2"))),
        }
    }
}

/// The rules of a layout by its name.
pub fn rules(layout: &str, reproduce_defects: bool) -> Result<Rules> {
    match (layout, reproduce_defects) {
        ("hcsshim", false) => Ok(Rules::HCSSHIM),
        ("hcsshim", true) => Ok(Rules::HCSSHIM_DEFECTS),
        _ => Err(Error::invalid_argument(format!("layout is {layout:?}, not \"hcsshim\""))),
    }
}
