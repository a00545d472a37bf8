//! The faults of hcsshim, in one table; which of them a conversion reproduces, and what it found of them.
//!
//! A fault is a place where hcsshim writes wrong data, refuses a valid layer, or where nothing better can be written.
//! Wherever behaviour forks, the fork names its fault: `faults.reproduces(Fault::B11)`. Codes are those of
//! docs/format.md, section 6; where hcsshim errs in several ways under one code, there is a row for each.

use std::fmt::Display;

/// What becomes of a layer that has the fault, unless the fault is reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A finding: the image differs from hcsshim's, or hcsshim writes none.
    Differs,
    /// A finding, though the bytes are hcsshim's.
    Identical,
    /// The entry is refused, with the fault's code.
    Refused,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub fault: Fault,
    /// The variant's name.
    pub name: &'static str,
    /// Code of docs/format.md.
    pub code: &'static str,
    /// What a finding says, `{}` being its detail; of a refusal what is wrong.
    pub text: &'static str,
    pub report: Report,
}

macro_rules! faults {
    ($($fault:ident $code:literal $report:ident $text:literal)*) => {
        /// A fault by its row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fault {
            $(#[doc = $text] $fault,)*
        }

        /// All rows, in the order of the variants.
        pub const FAULTS: &[Row] = &[
            $(Row {
                fault: Fault::$fault,
                name: stringify!($fault),
                code: $code,
                text: $text,
                report: Report::$report,
            },)*
        ];

        impl Fault {
            /// Code of docs/format.md.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$fault => $code,)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$fault => $text,)* }
            }

            /// Whether hcsshim writes the same bytes all the same.
            pub const fn is_identical(self) -> bool {
                matches!(match self { $(Self::$fault => Report::$report,)* }, Report::Identical)
            }
        }
    };
}

faults! {
    B1 "B1" Differs "hcsshim points the extents after the first 340 to wrong blocks"
    B2 "B2" Differs "hcsshim orders the entries of the xattr block so that the kernel misses some"
    B3 "B3" Differs "hcsshim stores a wrong time for {} s"
    B4 "B4" Differs "hcsshim stores a wrong time for {} s"
    B4b "B4b" Identical "the time {} s is outside of what ext4 can hold: the nearest is stored"
    B5 "B5" Differs "hcsshim stores POSIX ACLs in a form that the kernel refuses"
    B5Malformed "B5" Refused "a POSIX ACL is malformed"
    B5OnSymlink "B5" Differs "the POSIX ACL of a symlink is left out: Linux has none there"
    B6 "B6" Differs "hcsshim loses xattrs of the directory after one with an empty stored name"
    B7GlobalHeader "B7" Differs "hcsshim makes a file of a global header"
    B7VolumeLabel "B7" Differs "hcsshim makes a file of a volume label"
    B7DumpDirectory "B7" Differs "hcsshim makes a file of a GNU dump directory"
    B7UnknownType "B7" Identical "unknown type flag {}: taken as a regular file"
    B8KeptXattrs "B8" Differs "hcsshim keeps xattrs of an earlier entry of this name"
    B8LostMarker "B8" Differs "hcsshim loses the opaque marker that came before this entry"
    B9ChangedType "B9" Differs "hcsshim refuses to replace a directory with a file or a file with a directory"
    B9ReplacedData "B9" Differs "hcsshim refuses to replace a file with data blocks"
    B9ReplacingLink "B9" Differs "hcsshim refuses a link in place of an earlier entry"
    B9LinkToItself "B9" Differs "hcsshim refuses a link to the name itself"
    B9WhiteoutOfDirectory "B9" Differs "hcsshim refuses a whiteout beside a directory of its own layer"
    B9WhiteoutOfFile "B9" Differs "hcsshim lets the whiteout replace or collide with its own layer's file"
    B9PathThroughWhiteout "B9" Differs "hcsshim refuses a path through a whiteout of the same layer"
    B10 "B10" Refused "an opaque marker is below something that is not a directory"
    B11 "B11" Differs "hcsshim refuses a path through a symlink"
    B13 "B13" Identical "{} not in the layer: made like the one above"
    B14 "B14" Refused "the name of an xattr is too long"
    B15 "B15" Refused "the xattrs do not fit in the inode and one block"
    B16 "B16" Refused "a symlink's target is empty or too long"
    B17 "B17" Refused "uid or gid is outside of 32 bits"
    B18 "B18" Differs "hcsshim keeps the bookkeeping files of AUFS"
    B19KeptData "B19" Differs "hcsshim keeps the system.data of an earlier entry of this name"
    B19GivenData "B19" Differs "hcsshim stores an xattr system.data, which is ext4's own"
    B22 "B22" Differs "hcsshim cuts the size of the inode tables to 32 bits"
    B23 "B23" Differs "hcsshim refuses a directory with more than 65000 links"
    B24NoMarker "B24" Identical "the archive ends without its end marker: it may be cut short"
    B24CutPadding "B24" Refused "the archive ends in the padding of an entry"
    B24CutHeaders "B24" Refused "the archive ends between an extended header and its entry"
    N1 "N1" Differs "hcsshim crashes when it reads the directory's xattrs again"
    N2 "N2" Differs "hcsshim computes a wrong number of groups for this many inodes"
    N3Marker "N3" Differs "hcsshim changes the directory's times when it marks it as opaque"
    N3Parent "N3" Differs "hcsshim changes the times that it copies to a parent directory"
    N4 "N4" Refused "hcsshim names the file that it makes of a global header at random"
    N5 "N5" Refused "a device number is outside of what ext4 can hold"
    N6 "N6" Differs "xattr {} has a prefix that Linux does not know: left out"
    N6NoName "N6" Differs "xattr {} has a prefix and no name, which Linux refuses: left out"
    N7 "N7" Differs "hcsshim stores xattr {} as a part of an ACL"
    N11 "N11" Refused "a name holds a NUL byte"
    N12 "N12" Differs "xattr {} is left out: Linux has user xattrs on files and directories only"
    N13 "N13" Refused "a security.capability is malformed"
    N14 "N14" Differs "xattr {} is left out: it would steer the overlay that the image becomes a part of"
    N15 "N15" Identical "an opaque marker in the root directory has no effect"
    N16 "N16" Identical "{} ends in a slash: it is an ordinary entry, not a whiteout"
    N17 "N17" Identical "the input holds no entry, but more bytes after its end marker: it may not be a layer tar"
    N18 "N18" Refused "a path is longer than 4095 bytes"
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSet(u128);

const _: () = assert!(FAULTS.len() <= 128);

impl FaultSet {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u128::MAX);

    pub const fn contains(self, fault: Fault) -> bool {
        self.0 >> fault as u32 & 1 != 0
    }

    /// Adds a fault; returns whether it was not there yet.
    fn insert(&mut self, fault: Fault) -> bool {
        let is_new = !self.contains(fault);
        self.0 |= 1 << fault as u32;
        is_new
    }
}

/// Longest entry name that a finding keeps, in bytes: names can have a megabyte each.
const MAX_ENTRY_LEN: usize = 256;
const ELLIPSIS: &[u8] = "…".as_bytes();
/// From this many findings of one code on, one more stands for all others.
const MAX_OF_A_CODE: u32 = 1000;

/// Where the image differs from hcsshim's, or is faulty like hcsshim's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub fault: Fault,
    /// Name of the tar entry, cut to 256 bytes; empty for the layer as a whole.
    pub entry: Vec<u8>,
    /// Byte offset of the entry in the tar.
    pub offset: u64,
    pub message: String,
    /// How many there are of the fault's code from this one on that have no finding of their own; mostly 1.
    pub count: u64,
}

/// The faults that a conversion reproduces, and what it found of the others.
#[derive(Debug)]
pub struct Faults {
    reproduced: FaultSet,
    /// The entry that findings are about, and those that it has already.
    entry: Vec<u8>,
    offset: u64,
    found: FaultSet,
    findings: Vec<Finding>,
    codes: Vec<Code>,
}

/// Findings of one code.
#[derive(Debug)]
struct Code {
    code: &'static str,
    count: u32,
    /// Position in `findings` of the one that stands for those that are only counted.
    last: usize,
}

impl Faults {
    pub fn new(reproduced: FaultSet) -> Self {
        Self {
            reproduced,
            entry: Vec::new(),
            offset: 0,
            found: FaultSet::NONE,
            findings: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Whether hcsshim's bytes, or its refusal, are wanted where it has this fault.
    pub fn reproduces(&self, fault: Fault) -> bool {
        self.reproduced.contains(fault)
    }

    /// From here on findings are about this entry; an empty name means the layer as a whole.
    pub fn enter(&mut self, name: &[u8], offset: u64) {
        self.entry.clear();
        match name.get(..cut_len(name)) {
            Some(start) if name.len() > MAX_ENTRY_LEN => {
                self.entry.extend_from_slice(start);
                self.entry.extend_from_slice(ELLIPSIS);
            }
            _ => self.entry.extend_from_slice(name),
        }
        self.offset = offset;
        self.found = FaultSet::NONE;
    }

    /// Records that the entry has the fault, once for each entry, unless the fault is reproduced.
    pub fn found(&mut self, fault: Fault) {
        self.found_with(fault, "");
    }

    /// The same with a detail, which the text has a place for.
    pub fn found_with(&mut self, fault: Fault, detail: impl Display) {
        if self.reproduces(fault) || !self.found.insert(fault) {
            return;
        }
        let code = fault.code();
        let position = self.codes.iter().position(|known| known.code == code).unwrap_or_else(|| {
            self.codes.push(Code { code, count: 0, last: 0 });
            self.codes.len() - 1
        });
        let Some(known) = self.codes.get_mut(position) else { return };
        known.count = known.count.saturating_add(1);
        if known.count > MAX_OF_A_CODE + 1 {
            if let Some(last) = self.findings.get_mut(known.last) {
                last.count += 1;
            }
            return;
        }
        known.last = self.findings.len();
        self.findings.push(Finding {
            fault,
            entry: self.entry.clone(),
            offset: self.offset,
            message: fault.text().replacen("{}", &detail.to_string(), 1),
            count: 1,
        });
    }

    /// All findings, in the order in which they were made.
    pub fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// How much of a long name stays, so that no character of UTF-8 is cut.
fn cut_len(name: &[u8]) -> usize {
    let longest = MAX_ENTRY_LEN - ELLIPSIS.len();
    (longest - 3..=longest)
        .rev()
        .find(|&at| name.get(at).is_none_or(|byte| byte & 0xC0 != 0x80))
        .unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, Fault, FaultSet, Faults};

    #[test]
    fn rows_are_in_the_order_of_their_variants() {
        for (position, row) in FAULTS.iter().enumerate() {
            assert_eq!(row.fault as usize, position);
            assert!(row.name.starts_with(row.code), "{}", row.name);
        }
    }

    #[test]
    fn a_fault_is_found_once_for_each_entry_unless_it_is_reproduced() {
        let mut faults = Faults::new(FaultSet::NONE);
        for offset in [0, 512] {
            faults.enter(b"name", offset);
            faults.found_with(Fault::B3, -5);
            faults.found_with(Fault::B3, -6);
        }
        let found = faults.into_findings();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].message, "hcsshim stores a wrong time for -5 s");
        assert_eq!((found[1].offset, found[1].count), (512, 1));
        let mut faults = Faults::new(FaultSet::ALL);
        faults.found(Fault::N11);
        assert!(faults.into_findings().is_empty());
    }

    #[test]
    fn findings_of_a_code_beyond_a_thousand_are_counted() {
        let mut faults = Faults::new(FaultSet::NONE);
        for offset in 0..1500 {
            faults.enter(b"", offset);
            faults.found(if offset % 2 == 0 { Fault::B7VolumeLabel } else { Fault::B7GlobalHeader });
        }
        let found = faults.into_findings();
        assert_eq!(found.len(), 1001);
        assert_eq!((found[999].count, found[1000].count, found[1000].offset), (1, 500, 1000));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        for (name, kept) in [
            ("a".repeat(256), "a".repeat(256)),
            ("a".repeat(257), format!("{}…", "a".repeat(253))),
            (format!("{}{}", "a".repeat(252), "é".repeat(9)), format!("{}…", "a".repeat(252))),
        ] {
            let mut faults = Faults::new(FaultSet::NONE);
            faults.enter(name.as_bytes(), 0);
            faults.found(Fault::B1);
            assert_eq!(faults.into_findings()[0].entry, kept.as_bytes());
        }
    }
}
