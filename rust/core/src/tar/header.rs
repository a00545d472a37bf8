//! What a header block says, in any of the formats.

use super::block::{Block, Format, HeaderBlock, number, text};
use crate::error::Result;
use crate::units::Time;

#[derive(Clone, Debug)]
pub struct Header {
    pub format: Format,
    pub name: Vec<u8>,
    pub linkname: Vec<u8>,
    pub typeflag: u8,
    pub size: i64,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    pub mtime: Time,
    pub atime: Option<Time>,
    pub ctime: Option<Time>,
    pub devmajor: i64,
    pub devminor: i64,
}

impl Header {
    pub fn parse(block: &Block) -> Result<Self> {
        let block = HeaderBlock::of(block);
        block.check_sum()?;
        let format = block.format();
        let mut header = Self {
            format,
            name: text(&block.name).to_vec(),
            mode: number(&block.mode, "mode")?,
            uid: number(&block.uid, "uid")?,
            gid: number(&block.gid, "gid")?,
            size: number(&block.size, "size")?,
            mtime: time(&block.mtime, "mtime")?,
            typeflag: block.typeflag,
            linkname: text(&block.linkname).to_vec(),
            atime: None,
            ctime: None,
            devmajor: 0,
            devminor: 0,
        };
        if format == Format::V7 {
            return Ok(header);
        }
        header.devmajor = number(&block.devmajor, "devmajor")?;
        header.devminor = number(&block.devminor, "devminor")?;
        let prefix = match format {
            Format::Star => {
                header.atime = Some(time(&block.star().atime, "atime")?);
                header.ctime = Some(time(&block.star().ctime, "ctime")?);
                text(&block.star().prefix)
            }
            Format::Gnu => header.gnu_times_or_prefix(block),
            Format::Ustar | Format::V7 => text(&block.posix().prefix),
        };
        if !prefix.is_empty() {
            header.name = [prefix, b"/", &header.name].concat();
        }
        Ok(header)
    }

    /// Types whose data is never there, whatever the size says.
    pub fn is_header_only(&self) -> bool {
        matches!(self.typeflag, b'1'..=b'6')
    }

    /// NUL, of old archives, is a regular file, or a directory if the name says so.
    pub fn normalise_type(&mut self) {
        if self.typeflag == 0 {
            self.typeflag = if self.name.ends_with(b"/") { b'5' } else { b'0' };
        }
    }

    /// GNU keeps times where others keep the prefix; some writers of the GNU format keep a prefix all the same.
    fn gnu_times_or_prefix<'b>(&mut self, block: &'b HeaderBlock) -> &'b [u8] {
        let optional = |field: &[u8; 12], name| match field {
            [0, ..] => Ok(None),
            _ => time(field, name).map(Some),
        };
        let gnu = block.gnu();
        if let (Ok(atime), Ok(ctime)) = (optional(&gnu.atime, "atime"), optional(&gnu.ctime, "ctime")) {
            self.atime = atime;
            self.ctime = ctime;
            return b"";
        }
        let prefix = text(&block.posix().prefix);
        if prefix.is_ascii() { prefix } else { b"" }
    }
}

fn time(field: &[u8; 12], name: &str) -> Result<Time> {
    Ok(Time { seconds: number(field, name)?, nanoseconds: 0 })
}
