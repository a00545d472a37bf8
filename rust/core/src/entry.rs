//! What a tar entry means for the file system.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result, quote};
use crate::ext4::acl;
use crate::ext4::close::Image;
use crate::ext4::inode;
use crate::ext4::timestamp::Timestamp;
use crate::ext4::writer::{Attributes, Writer};
use crate::ext4::xattr::{self, Xattrs};
use crate::faults::{Fault, Faults};
use crate::options::Options;
use crate::path::{components, split_file};
use crate::sink::Sink;
use crate::tar::{Data, Entry, Input, Reader, Time};
use crate::units::InodeNumber;
use crate::whiteout;

/// The name in ACL attributes that ext4 stores in a form of its own.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Puts entries into an image.
pub struct Mapper<S> {
    writer: Writer<S>,
    convert_whiteout: bool,
    convert_backslash: bool,
    has_aufs: bool,
    /// The raw path before the last entry's name, and the directory that it led to; good until a removal.
    remembered: (Vec<u8>, InodeNumber),
    removals: u64,
}

impl<S: Sink> Mapper<S> {
    pub fn new(writer: Writer<S>, options: &Options) -> Self {
        Self {
            writer,
            convert_whiteout: options.convert_whiteout,
            convert_backslash: options.convert_backslash,
            has_aufs: false,
            remembered: (Vec::new(), InodeNumber::ROOT),
            removals: 0,
        }
    }

    pub fn faults(&mut self) -> &mut Faults {
        &mut self.writer.faults
    }

    pub fn close(mut self) -> Result<Image> {
        if self.has_aufs {
            self.writer.remove_named(whiteout::is_aufs_file)?;
        }
        self.writer.close()
    }

    /// Adds an entry with its data.
    pub fn add(&mut self, entry: &Entry, reader: &mut Reader<impl Input>) -> Result<()> {
        let kind = self.kind(entry)?;
        let Some(kind) = kind else { return Ok(()) };
        let name = self.slashed(&entry.name);
        let (directory, file) = split_file(&name);
        let (parent, last) = match self.remembered(directory, file) {
            Some(parent) => (parent, file),
            None => {
                let parts = components(&name);
                if self.convert_whiteout && self.add_whiteout(&name, &parts)? {
                    return Ok(());
                }
                (self.make_parents(&name, &parts)?, parts.last().copied().unwrap_or_default())
            }
        };
        if entry.typeflag == b'1' {
            return self.writer.link(parent, last, &self.slashed(&entry.linkname));
        }
        let attributes = self.attributes(entry, kind)?;
        self.writer.create(parent, last, attributes)?;
        if kind == inode::TYPE_DIRECTORY {
            return Ok(()); // a GNU dump directory has data: the list of its files
        }
        while let Some(data) = reader.data()? {
            match data {
                Data::Bytes(bytes) => self.writer.write(bytes)?,
                Data::Zeros(length) => self.writer.write_zeros(length)?,
            }
        }
        self.writer.finish_file()
    }

    /// The directory of an ordinary entry, if it is the one of the entry before.
    fn remembered(&self, directory: &[u8], file: &[u8]) -> Option<InodeNumber> {
        let is_special =
            matches!(file, b"" | b"." | b"..") || self.convert_whiteout && file.starts_with(whiteout::PREFIX);
        let (path, parent) = &self.remembered;
        (!is_special && path == directory && self.removals == self.writer.removals).then_some(*parent)
    }

    /// The directory of an entry, remembered unless the path to it is more than directories.
    fn make_parents(&mut self, name: &[u8], parts: &[&[u8]]) -> Result<InodeNumber> {
        let resolved = self.writer.resolved;
        let parent = self.writer.make_parents(parts)?;
        let (directory, file) = split_file(name);
        if self.writer.resolved == resolved && parts.last() == Some(&file) && !whiteout::is_aufs(name) {
            self.remembered = (directory.to_vec(), parent);
            self.removals = self.writer.removals;
        }
        Ok(parent)
    }

    /// The type bits of an entry, 0 where its type flag gives none; `None` for one that is to be left out.
    fn kind(&mut self, entry: &Entry) -> Result<Option<u16>> {
        let faults = &mut self.writer.faults;
        let kind = match entry.typeflag {
            b'0' | b'1' | b'7' | b'S' => inode::TYPE_REGULAR,
            b'2' => inode::TYPE_SYMLINK,
            b'3' => inode::TYPE_CHARACTER,
            b'4' => inode::TYPE_BLOCK,
            b'5' => inode::TYPE_DIRECTORY,
            b'6' => inode::TYPE_FIFO,
            b'g' if entry.global_unstable && faults.reproduces(Fault::N4) => {
                let message = "hcsshim names the file that it makes of a global header at random: one of its records is malformed";
                return Err(Error::not_reproducible(message).fault(Fault::N4));
            }
            b'g' if !faults.reproduces(Fault::B7GlobalHeader) => {
                faults.found(Fault::B7GlobalHeader);
                return Ok(None);
            }
            b'V' if !faults.reproduces(Fault::B7VolumeLabel) => {
                faults.found(Fault::B7VolumeLabel);
                return Ok(None);
            }
            b'D' if !faults.reproduces(Fault::B7DumpDirectory) => {
                faults.found(Fault::B7DumpDirectory);
                inode::TYPE_DIRECTORY
            }
            other => {
                faults.found_with(Fault::B7UnknownType, quote(&[other]));
                0
            }
        };
        Ok(Some(kind))
    }

    /// Whiteouts and opaque markers; `false` for an ordinary entry.
    fn add_whiteout(&mut self, name: &[u8], parts: &[&[u8]]) -> Result<bool> {
        if !self.writer.faults.reproduces(Fault::B18) && whiteout::is_aufs(name) {
            self.writer.faults.found(Fault::B18);
            self.has_aufs = true; // kept until the end, since links may lead to them
            return Ok(false);
        }
        match whiteout::kind(name) {
            whiteout::Kind::None => return Ok(false),
            whiteout::Kind::Opaque => {
                let directory = self.writer.make_parents(parts);
                let directory = match self.writer.faults.reproduces(Fault::B10) {
                    true => directory,
                    false => directory.map_err(opaque_refusal),
                }?;
                self.writer.make_opaque(directory, &components(split_file(name).0))?;
            }
            whiteout::Kind::Whiteout { directory, name: hidden } => {
                let parent = self.writer.make_parents(parts)?;
                if !matches!(hidden, b"" | b"." | b"..") {
                    self.writer.whiteout(parent, hidden)?;
                } else if self.writer.faults.reproduces(Fault::B9WhiteoutOfDirectory) {
                    // hcsshim takes the name as a path, which mostly leads to a directory.
                    let path = [directory, hidden].concat();
                    let parts = components(&path);
                    let parent = self.writer.locate(&parts)?;
                    self.writer.whiteout(parent, parts.last().copied().unwrap_or_default())?;
                } else {
                    return Err(Error::invalid_entry("the whiteout names no file"));
                }
            }
        }
        Ok(true)
    }

    fn attributes(&mut self, entry: &Entry, kind: u16) -> Result<Attributes> {
        let is_device = matches!(kind, inode::TYPE_CHARACTER | inode::TYPE_BLOCK);
        let faults = &self.writer.faults;
        check_range("uid", entry.uid, u32::MAX.into(), faults, Fault::B17)?;
        check_range("gid", entry.gid, u32::MAX.into(), faults, Fault::B17)?;
        if is_device {
            check_range("devmajor", entry.devmajor, inode::MAX_MAJOR, faults, Fault::N5)?;
            check_range("devminor", entry.devminor, inode::MAX_MINOR, faults, Fault::N5)?;
        }
        let target =
            if kind == inode::TYPE_SYMLINK { self.slashed(&entry.linkname).into_owned() } else { Vec::new() };
        Ok(Attributes {
            mode: entry.mode as u16 & !inode::TYPE_MASK | kind,
            uid: entry.uid as u32,
            gid: entry.gid as u32,
            atime: self.timestamp(entry.atime),
            ctime: self.timestamp(entry.ctime),
            mtime: self.timestamp(entry.mtime),
            size: entry.size,
            target,
            device: if is_device {
                inode::device_number(entry.devmajor as u32, entry.devminor as u32)
            } else {
                0
            },
            xattrs: self.xattrs(entry)?,
            opaque: false,
        })
    }

    fn timestamp(&mut self, time: Option<Time>) -> Timestamp {
        let Some(Time { seconds, nanoseconds }) = time else { return Timestamp::default() };
        let fault = if seconds < 0 { Fault::B3 } else { Fault::B4 };
        let faults = &mut self.writer.faults;
        let hcsshim = Timestamp::hcsshim(seconds, nanoseconds);
        if faults.reproduces(fault) {
            return hcsshim;
        }
        let exact = Timestamp::exact(seconds, nanoseconds);
        if exact != hcsshim {
            faults.found_with(fault, seconds);
        } else if exact.is_clamped(seconds) {
            faults.found_with(Fault::B4b, seconds);
        }
        exact
    }

    fn xattrs(&mut self, entry: &Entry) -> Result<Xattrs> {
        let given = entry.xattrs.iter().cloned();
        let faults = &mut self.writer.faults;
        if faults.reproduces(Fault::B5) {
            return Ok(given.collect());
        }
        let mut xattrs = Xattrs::new();
        for (name, value) in given {
            let (index, _) = xattr::split_name(&name, false);
            if index == 0 {
                faults.found_with(Fault::N6, quote(&name));
                continue;
            }
            xattr::check_name(&name)?;
            if name == xattr::SYSTEM_DATA {
                faults.found(Fault::B19GivenData);
                continue;
            }
            if index != xattr::split_name(&name, true).0 {
                faults.found_with(Fault::N7, quote(&name));
            }
            if ACLS.contains(&name.as_slice()) {
                faults.found(Fault::B5);
                if let Some(stored) = acl::to_ext4(&name, &value)? {
                    xattrs.insert(name, stored);
                }
                continue;
            }
            xattrs.insert(name, value);
        }
        Ok(xattrs)
    }

    fn slashed<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if self.convert_backslash && name.contains(&b'\\') {
            Cow::Owned(name.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect())
        } else {
            Cow::Borrowed(name)
        }
    }
}

/// B10: hcsshim takes an opaque marker in a file.
fn opaque_refusal(error: Error) -> Error {
    if matches!(error.kind, ErrorKind::InvalidEntry) { error.fault(Fault::B10) } else { error }
}

fn check_range(field: &str, value: i64, max: i64, faults: &Faults, fault: Fault) -> Result<()> {
    if (0..=max).contains(&value) || faults.reproduces(fault) {
        return Ok(());
    }
    Err(Error::invalid_entry(format!("{field} is {value}, 0 to {max} are possible")).fault(fault))
}
