//! An entry's name, parsed once: its parts, and what it says as a whiteout. Purely lexical; symlinks are the tree's
//! business. Source for whiteouts: OCI image specification, layer.md, and for the rest of the family AUFS.

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// Bookkeeping of AUFS: `.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// A raw name, split after its last `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryName<'n> {
    pub raw: &'n [u8],
    /// With its `/`, or empty.
    pub directory: &'n [u8],
    /// Empty where the name ends in `/`.
    pub file: &'n [u8],
}

/// What a name says of the layers below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteout<'n> {
    /// Nothing of the lower layers shows in the directory.
    Opaque,
    /// The lower layers' file of this name is gone.
    Of(&'n [u8]),
}

impl<'n> EntryName<'n> {
    pub fn new(raw: &'n [u8]) -> Self {
        let start = raw.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        let (directory, file) = raw.split_at_checked(start).unwrap_or((b"", raw));
        Self { raw, directory, file }
    }

    /// The name as components.
    pub fn parts(&self) -> Vec<&'n [u8]> {
        components(self.raw)
    }

    /// What the name stands for, if it is not an entry like any other. A trailing slash makes it an ordinary one.
    pub fn whiteout(&self) -> Option<Whiteout<'n>> {
        match self.file.strip_prefix(WHITEOUT_PREFIX) {
            _ if self.file == OPAQUE_MARKER => Some(Whiteout::Opaque),
            hidden => hidden.map(Whiteout::Of),
        }
    }

    /// Whether the name would be a whiteout without the slash at its end.
    pub fn is_whiteout_directory(&self) -> bool {
        self.file.is_empty()
            && self.directory.strip_suffix(b"/").is_some_and(|name| Self::new(name).whiteout().is_some())
    }

    /// Whether the file's name stands for itself: it is neither special to paths nor, where whiteouts are converted,
    /// one of their family.
    pub fn is_plain(&self, convert_whiteout: bool) -> bool {
        let is_whiteout = convert_whiteout && self.file.starts_with(WHITEOUT_PREFIX);
        !is_whiteout && !matches!(self.file, b"" | b"." | b"..")
    }
}

/// The components of `/` + name: empty ones and `.` dropped, `..` takes the one before it (nothing at the root).
pub fn components(name: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts
}

/// Whether one of the parts is a bookkeeping file of AUFS.
pub fn is_aufs(parts: &[&[u8]]) -> bool {
    parts.iter().any(|part| is_aufs_file(part))
}

/// Whether that is the name of such a file.
pub fn is_aufs_file(name: &[u8]) -> bool {
    name.starts_with(AUFS_PREFIX) && name != OPAQUE_MARKER
}

#[cfg(test)]
mod tests {
    use super::{EntryName, Whiteout, components, is_aufs};

    #[test]
    fn components_are_clean() {
        assert_eq!(components(b"../a//./b/../c/"), [b"a", b"c"]);
        assert!(components(b"/..").is_empty());
    }

    #[test]
    fn names_are_told_apart() {
        for (raw, directory, file, whiteout, is_plain) in [
            ("a/.wh.x", "a/", ".wh.x", Some(Whiteout::Of(b"x".as_slice())), false),
            ("a/.wh..wh..opq", "a/", ".wh..wh..opq", Some(Whiteout::Opaque), false),
            ("a/.wh.x/", "a/.wh.x/", "", None, false),
            ("a/b/x", "a/b/", "x", None, true),
            ("x", "", "x", None, true),
            ("a/..", "a/", "..", None, false),
        ] {
            let name = EntryName::new(raw.as_bytes());
            assert_eq!((name.directory, name.file), (directory.as_bytes(), file.as_bytes()), "{raw}");
            assert_eq!(name.whiteout(), whiteout, "{raw}");
            assert_eq!(name.is_plain(true), is_plain, "{raw}");
        }
        assert!(EntryName::new(b".wh.x").is_plain(false));
        assert!(EntryName::new(b"a/.wh.x/").is_whiteout_directory());
        assert!(
            !EntryName::new(b"a/.wh.x").is_whiteout_directory()
                && !EntryName::new(b"a/").is_whiteout_directory()
        );
        assert!(is_aufs(&components(b"./.wh..wh.plnk/1.2")) && !is_aufs(&components(b"a/.wh..wh..opq")));
    }
}
