//! How a layer says that something of the layers below is gone, by names that start with `.wh.`.
//! Source: OCI image specification, layer.md, and for the rest of the family AUFS.

use crate::path::{components, split_file};

pub const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of AUFS: `.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

#[derive(Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An entry like any other.
    None,
    /// Nothing of the lower layers shows in the directory.
    Opaque,
    /// The lower layers' file of this name is gone.
    Whiteout { directory: &'a [u8], name: &'a [u8] },
}

/// What a raw entry name stands for. A trailing slash makes the entry an ordinary one.
pub fn kind(name: &[u8]) -> Kind<'_> {
    let (directory, file) = split_file(name);
    match file.strip_prefix(PREFIX) {
        _ if file == OPAQUE => Kind::Opaque,
        Some(name) => Kind::Whiteout { directory, name },
        None => Kind::None,
    }
}

/// Whether the entry is, or is below, a file in which AUFS keeps its books.
pub fn is_aufs(name: &[u8]) -> bool {
    components(name).iter().any(|part| is_aufs_file(part))
}

/// Whether that is the name of such a file.
pub fn is_aufs_file(name: &[u8]) -> bool {
    name.starts_with(AUFS_PREFIX) && name != OPAQUE
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_aufs, kind};

    #[test]
    fn names_are_told_apart() {
        assert_eq!(kind(b"a/.wh.x"), Kind::Whiteout { directory: b"a/", name: b"x" });
        assert_eq!(kind(b"a/.wh..wh..opq"), Kind::Opaque);
        assert_eq!(kind(b"a/.wh.x/"), Kind::None);
        assert_eq!(kind(b"a/x"), Kind::None);
        assert!(is_aufs(b"./.wh..wh.plnk/1.2") && !is_aufs(b"a/.wh..wh..opq"));
    }
}
