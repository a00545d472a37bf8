//! The layer tar as a stream of entries: bytes in, entries and their data out. Reads as Go's archive/tar does
//! (USTAR, PAX, GNU, STAR, V7; sparse files in all four forms); docs/format.md gives the rules. Knows no file system.

mod block;
mod header;
mod map;
mod pax;
mod sparse;
mod stream;

use crate::error::{Error, Result};
use crate::faults::Fault;
use crate::stream::Input;
use crate::units::Time;
pub use block::BLOCK_LEN;
use block::{Block, text};
use header::Header;
use pax::Records;
use sparse::Sparse;
use stream::Stream;

/// Longest body of an extended header or long name in bytes. Source: Go, archive/tar.
const MAX_META_LEN: u64 = 1 << 20;

/// How the reader takes a stream that ends inside an entry's padding, or between extended headers and their entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutEnd {
    /// As the end of the archive, as Go does.
    Accepted,
    /// As an archive that was cut short (B24).
    Refused,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub linkname: Vec<u8>,
    pub typeflag: u8,
    /// Of the content, holes included; 0 for types that have none.
    pub size: u64,
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    /// Unset for a global header only.
    pub mtime: Option<Time>,
    pub atime: Option<Time>,
    pub ctime: Option<Time>,
    pub devmajor: i64,
    pub devminor: i64,
    /// Name behind `SCHILY.xattr.` and value, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of the first header block that belongs to the entry.
    pub offset: u64,
    /// A global header whose name is a matter of chance for Go (N4).
    pub global_unstable: bool,
}

/// A piece of an entry's content.
#[derive(Debug, PartialEq, Eq)]
pub enum Data<'a> {
    Bytes(&'a [u8]),
    /// A hole of so many bytes.
    Zeros(u64),
}

pub struct Reader<I> {
    stream: Stream<I>,
    cut_end: CutEnd,
    /// Stored bytes of the current entry that are not read yet, and the padding behind them.
    left: u64,
    padding: u64,
    sparse: Option<Sparse>,
    ended: bool,
    without_marker: bool,
}

/// What `x`, `L` and `K` headers say of the entry that follows.
#[derive(Default)]
struct PendingHeaders {
    records: Option<Records>,
    name: Vec<u8>,
    linkname: Vec<u8>,
    offset: Option<u64>,
}

impl<I: Input> Reader<I> {
    pub fn new(input: I, cut_end: CutEnd) -> Self {
        Self {
            stream: Stream::new(input),
            cut_end,
            left: 0,
            padding: 0,
            sparse: None,
            ended: false,
            without_marker: false,
        }
    }

    /// Bytes taken from the stream so far.
    pub fn position(&self) -> u64 {
        self.stream.position()
    }

    /// Whether the stream ended between entries, or after one of the two zero blocks of the end marker.
    pub fn ended_without_marker(&self) -> bool {
        self.without_marker
    }

    /// Whether anything but zeros follows the end of the archive; reads the stream to its end.
    pub fn has_trailing_data(&mut self) -> Result<bool> {
        self.stream.rest_has_data()
    }

    /// The next entry; what is left of the current one's data is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pending = PendingHeaders::default();
        while let Some((offset, block)) = self.next_header(pending.offset)? {
            let start = *pending.offset.get_or_insert(offset);
            let mut header = Header::parse(&block).map_err(|error| error.at(offset))?;
            self.set_stored_size(&header).map_err(|error| error.at(offset))?;
            match header.typeflag {
                b'x' | b'g' => {
                    let body = self.meta_body("extended header").map_err(|error| error.at(offset))?;
                    let records = Records::parse(&body).map_err(|error| error.at(offset))?;
                    if header.typeflag == b'g' {
                        return Ok(Some(global_entry(header, records, offset)));
                    }
                    pending.records = Some(records);
                }
                b'L' => {
                    pending.name =
                        text(&self.meta_body("long name").map_err(|error| error.at(offset))?).to_vec()
                }
                b'K' => {
                    pending.linkname =
                        text(&self.meta_body("long link").map_err(|error| error.at(offset))?).to_vec()
                }
                _ => {
                    let records = pending.records.take().unwrap_or_default();
                    records.apply(&mut header).map_err(|error| error.at(offset))?;
                    if !pending.name.is_empty() {
                        header.name = std::mem::take(&mut pending.name);
                    }
                    if !pending.linkname.is_empty() {
                        header.linkname = std::mem::take(&mut pending.linkname);
                    }
                    header.normalise_type();
                    self.set_stored_size(&header).map_err(|error| error.at(offset))?;
                    self.read_sparse_map(&mut header, &records, &block).map_err(|error| error.at(offset))?;
                    return Ok(Some(entry(header, records.xattrs(), start)));
                }
            }
        }
        Ok(None)
    }

    /// The next piece of the current entry's content; `None` at its end.
    pub fn data(&mut self) -> Result<Option<Data<'_>>> {
        let mut want = self.left;
        if let Some(sparse) = &mut self.sparse {
            match sparse.next(self.left)? {
                Some(sparse::Piece::Hole(length)) => return Ok(Some(Data::Zeros(length))),
                Some(sparse::Piece::Fragment(length)) => want = length.min(self.left),
                None => return Ok(None),
            }
        } else if want == 0 {
            return Ok(None);
        }
        let available = self.stream.available()?.min(usize::try_from(want).unwrap_or(usize::MAX));
        if available == 0 {
            return Err(ends_in_data(self.left));
        }
        self.left -= available as u64;
        if let Some(sparse) = &mut self.sparse {
            sparse.advance(available as u64);
        }
        Ok(Some(Data::Bytes(self.stream.take(available))))
    }

    /// The next header block that is not zero, and its offset; `None` at the end of the archive.
    fn next_header(&mut self, waiting: Option<u64>) -> Result<Option<(u64, Block)>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_entry()?;
        if self.ended {
            return self.end(waiting);
        }
        let offset = self.stream.position();
        let mut block = [0; BLOCK_LEN];
        match self.stream.read(&mut block)? {
            0 => {
                self.without_marker = true;
                return self.end(waiting);
            }
            BLOCK_LEN => {}
            length => return Err(cut_header(length).at(offset)),
        }
        if block != [0; BLOCK_LEN] {
            return Ok(Some((offset, block)));
        }
        match self.stream.read(&mut block)? {
            0 => self.without_marker = true,
            BLOCK_LEN if block == [0; BLOCK_LEN] => {}
            BLOCK_LEN => {
                let message = "a block of zeros is followed by one that is not zero: two end an archive";
                return Err(Error::invalid_tar(message).at(offset));
            }
            length => return Err(cut_header(length).at(offset + BLOCK_LEN as u64)),
        }
        self.end(waiting)
    }

    fn end(&mut self, waiting: Option<u64>) -> Result<Option<(u64, Block)>> {
        self.ended = true;
        match waiting {
            Some(offset) if self.cut_end == CutEnd::Refused => {
                let message = "the archive ends after an extended header, before the entry that it is for";
                Err(Error::truncated(message).at(offset).fault(Fault::B24CutHeaders))
            }
            _ => Ok(None),
        }
    }

    fn skip_entry(&mut self) -> Result<()> {
        self.sparse = None;
        let left = std::mem::take(&mut self.left);
        let skipped = self.stream.skip(left)?;
        if skipped < left {
            return Err(ends_in_data(left - skipped).at(self.stream.position()));
        }
        let padding = std::mem::take(&mut self.padding);
        let skipped = self.stream.skip(padding)?;
        if skipped < padding {
            self.ended = true;
            if self.cut_end == CutEnd::Refused {
                let message =
                    format!("the archive ends in the padding after data, {} bytes short", padding - skipped);
                return Err(Error::truncated(message).at(self.stream.position()).fault(Fault::B24CutPadding));
            }
        }
        Ok(())
    }

    fn set_stored_size(&mut self, header: &Header) -> Result<()> {
        self.left = if header.is_header_only() {
            0
        } else {
            u64::try_from(header.size)
                .map_err(|_| Error::invalid_tar(format!("the size is {}, less than 0", header.size)))?
        };
        self.padding = self.left.wrapping_neg() % BLOCK_LEN as u64;
        Ok(())
    }

    fn meta_body(&mut self, what: &str) -> Result<Vec<u8>> {
        let left = std::mem::take(&mut self.left);
        if left > MAX_META_LEN {
            let read = self.stream.skip(MAX_META_LEN + 1)?;
            return Err(if read > MAX_META_LEN {
                Error::invalid_tar(format!("the {what} has {left} bytes, at most {MAX_META_LEN} are allowed"))
            } else {
                Error::truncated(format!("the archive ends in the {what}"))
            });
        }
        let mut body = vec![0; left as usize];
        if self.stream.read(&mut body)? < body.len() {
            return Err(Error::truncated(format!("the archive ends in the {what}")));
        }
        Ok(body)
    }

    fn read_sparse_map(&mut self, header: &mut Header, records: &Records, block: &Block) -> Result<()> {
        let map = if header.typeflag == b'S' {
            Some(map::old_gnu(header, block, || self.stream.block())?)
        } else {
            match records.sparse(header)? {
                pax::SparseForm::None => None,
                pax::SparseForm::InRecords(map) => Some(map),
                pax::SparseForm::InData => Some(map::in_data(|| self.data_block())?),
            }
        };
        if let Some(map) = map {
            self.sparse = Some(Sparse::new(map, header)?);
        }
        Ok(())
    }

    /// A block of the stored data.
    fn data_block(&mut self) -> Result<Block> {
        let Some(left) = self.left.checked_sub(BLOCK_LEN as u64) else {
            return Err(Error::truncated("the data ends in the sparse map"));
        };
        self.left = left;
        self.stream.block()
    }
}

fn entry(header: Header, xattrs: Vec<(Vec<u8>, Vec<u8>)>, offset: u64) -> Entry {
    Entry {
        size: if header.is_header_only() { 0 } else { header.size.unsigned_abs() }, // never negative: checked above
        name: header.name,
        linkname: header.linkname,
        typeflag: header.typeflag,
        mode: header.mode,
        uid: header.uid,
        gid: header.gid,
        mtime: Some(header.mtime),
        atime: header.atime,
        ctime: header.ctime,
        devmajor: header.devmajor,
        devminor: header.devminor,
        xattrs,
        offset,
        global_unstable: false,
    }
}

/// A `g` header: only its name and its own records count.
fn global_entry(header: Header, records: Records, offset: u64) -> Entry {
    let path = records.get(b"path").filter(|path| !path.is_empty()).map(<[u8]>::to_vec);
    let valid = records.apply(&mut header.clone()).is_ok();
    Entry {
        global_unstable: path.is_some() && !valid,
        name: path.unwrap_or(header.name),
        linkname: Vec::new(),
        typeflag: b'g',
        size: 0,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: None,
        atime: None,
        ctime: None,
        devmajor: 0,
        devminor: 0,
        xattrs: if valid { records.xattrs() } else { Vec::new() },
        offset,
    }
}

fn ends_in_data(missing: u64) -> Error {
    Error::truncated(format!("the archive ends in the entry's data, {missing} bytes short"))
}

fn cut_header(length: usize) -> Error {
    Error::truncated(format!("the archive ends in a header, after {length} of {BLOCK_LEN} bytes"))
}
