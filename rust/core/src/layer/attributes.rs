//! What an entry says of its inode: checked, and in the form in which the tree holds it.

use crate::error::{Error, Result, quote};
use crate::ext4::format::xattr;
use crate::ext4::format::{acl, capability, inode, timestamp};
use crate::ext4::hcsshim;
use crate::faults::{Fault, Faults};
use crate::tar::Entry;
use crate::tree::{Device, FileType, Owner, TYPE_MASK, Times, Xattrs};
use crate::units::Time;

/// The attribute of a directory in which nothing of the lower layers shows. Source: Linux, overlayfs.
pub const OPAQUE: &[u8] = b"trusted.overlay.opaque";
pub const OPAQUE_VALUE: &[u8] = b"y";
/// Attributes by which overlayfs keeps its own books (N14).
const OVERLAY_PREFIX: &[u8] = b"trusted.overlay.";
const USER_PREFIX: &[u8] = b"user.";

/// Ids below zero that stand for others, modulo 2^32; -1 is nobody's.
const NEGATIVE_IDS: std::ops::RangeInclusive<i64> = -(1 << 31)..=-2;

/// What an entry says of its inode.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Type and permissions; a type of 0 is written as a regular file.
    pub mode: u16,
    pub owner: Owner,
    pub times: Times,
    /// Of a regular file, in bytes.
    pub size: u64,
    /// Of a symlink.
    pub target: Vec<u8>,
    pub device: Device,
    pub xattrs: Xattrs,
    /// A directory in which nothing of the lower layers shows, whatever later entries say of it.
    pub opaque: bool,
}

impl Attributes {
    /// `kind`: type bits, 0 where the entry's type flag gives none. `target` is that of a symlink.
    pub fn of_entry(entry: &Entry, kind: u16, target: Vec<u8>, faults: &mut Faults) -> Result<Self> {
        for (field, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if !NEGATIVE_IDS.contains(&id) {
                check_range(field, id, u32::MAX.into(), faults, Fault::B17)?;
            }
        }
        let mut device = Device::default();
        if kind == FileType::CharacterDevice.bits() || kind == FileType::BlockDevice.bits() {
            check_range("devmajor", entry.devmajor, inode::MAX_MAJOR, faults, Fault::N5)?;
            check_range("devminor", entry.devminor, inode::MAX_MINOR, faults, Fault::N5)?;
            device = Device { major: entry.devmajor as u32, minor: entry.devminor as u32 };
        }
        Ok(Self {
            mode: entry.mode as u16 & !TYPE_MASK | kind,
            owner: Owner { uid: entry.uid as u32, gid: entry.gid as u32 },
            times: Times {
                atime: time(entry.atime, faults),
                ctime: time(entry.ctime, faults),
                mtime: time(entry.mtime, faults),
            },
            size: entry.size,
            target,
            device,
            xattrs: xattrs(entry, kind, faults)?,
            opaque: false,
        })
    }

    /// Whether the xattr is among them.
    pub fn give(&self, xattr: &[u8]) -> bool {
        self.xattrs.contains_key(xattr) || self.opaque && xattr == OPAQUE
    }

    fn kind(&self) -> u16 {
        self.mode & TYPE_MASK
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory.bits()
    }

    pub fn is_symlink(&self) -> bool {
        self.kind() == FileType::Symlink.bits()
    }

    pub fn is_device(&self) -> bool {
        self.kind() == FileType::CharacterDevice.bits() || self.kind() == FileType::BlockDevice.bits()
    }

    pub fn is_regular(&self) -> bool {
        self.kind() == FileType::Regular.bits() || self.kind() == 0
    }
}

fn time(time: Option<Time>, faults: &mut Faults) -> Time {
    let time = hcsshim::times::or_unset(time);
    if timestamp::Timestamp::new(time) != hcsshim::times::encode(time) {
        faults.found_with(if time.seconds < 0 { Fault::B3 } else { Fault::B4 }, time.seconds);
    } else if timestamp::is_clamped(time) {
        faults.found_with(Fault::B4b, time.seconds);
    }
    time
}

fn xattrs(entry: &Entry, kind: u16, faults: &mut Faults) -> Result<Xattrs> {
    let given = entry.xattrs.iter().cloned();
    if faults.reproduces(Fault::B5) {
        return Ok(given.collect());
    }
    let mut xattrs = Xattrs::new();
    for (name, value) in given {
        if is_kept(&name, &value, kind, faults)? {
            xattrs.insert(name, value);
        }
    }
    Ok(xattrs)
}

/// Whether an xattr belongs on a node of that type; an error where it cannot be meant.
fn is_kept(name: &[u8], value: &[u8], kind: u16, faults: &mut Faults) -> Result<bool> {
    let is_directory = kind == FileType::Directory.bits();
    let is_symlink = kind == FileType::Symlink.bits();
    let is_regular = kind == FileType::Regular.bits() || kind == 0;
    let (index, rest) = xattr::split_name(name);
    if index == 0 {
        faults.found_with(Fault::N6, quote(name));
        return Ok(false);
    }
    if name.ends_with(b".") && rest.is_empty() {
        faults.found_with(Fault::N6NoName, quote(name));
        return Ok(false);
    }
    xattr::check_name(name)?;
    if name == xattr::SYSTEM_DATA {
        faults.found(Fault::B19GivenData);
        return Ok(false);
    }
    if name.starts_with(OVERLAY_PREFIX) {
        faults.found_with(Fault::N14, quote(name));
        return Ok(false);
    }
    if name.starts_with(USER_PREFIX) && !is_regular && !is_directory {
        faults.found_with(Fault::N12, quote(name));
        return Ok(false);
    }
    if index != hcsshim::xattrs::split_name(name).0 {
        faults.found_with(Fault::N7, quote(name));
    }
    if name == capability::NAME {
        capability::check(value)?;
    }
    if !acl::NAMES.contains(&name) {
        return Ok(true);
    }
    if is_symlink {
        faults.found(Fault::B5OnSymlink);
        return Ok(false);
    }
    faults.found(Fault::B5);
    let has_entries = acl::check(name, value)?;
    if has_entries && name == acl::DEFAULT_NAME && !is_directory {
        let message = "a default POSIX ACL is on something that is not a directory";
        return Err(Error::invalid_entry(message).fault(Fault::B5Malformed));
    }
    Ok(has_entries)
}

fn check_range(field: &str, value: i64, max: i64, faults: &Faults, fault: Fault) -> Result<()> {
    if (0..=max).contains(&value) || faults.reproduces(fault) {
        return Ok(());
    }
    Err(Error::invalid_entry(format!("{field} is {value}, it must be 0 to {max}")).fault(fault))
}
