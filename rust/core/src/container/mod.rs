//! What is put around an image. A container sees bytes and a length only.

pub mod vhd;

use crate::error::Result;
use crate::sink::Sink;

/// What the payload is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Nothing: the payload is the output.
    Raw,
    /// A fixed VHD: the payload and a footer.
    Vhd,
}

impl Container {
    /// Where the payload starts in the output, in bytes.
    pub fn payload_offset(self) -> u64 {
        match self {
            Self::Raw | Self::Vhd => 0,
        }
    }

    /// Writes what goes after a payload of `length` bytes; returns the length of the whole.
    ///
    /// `unique_id` is only asked for where the container has one.
    pub fn epilogue(
        self,
        sink: &mut impl Sink,
        length: u64,
        unique_id: impl FnOnce() -> [u8; 16],
    ) -> Result<u64> {
        match self {
            Self::Raw => Ok(length),
            Self::Vhd => {
                sink.write_at(length, &vhd::footer(length, unique_id()))?;
                Ok(length + vhd::FOOTER_LEN as u64)
            }
        }
    }
}
