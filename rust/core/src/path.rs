//! Entry names as lists of components: purely lexical, symlinks are the tree's business.

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

/// The name behind the last `/`, and what is before it with the `/`.
pub fn split_file(name: &[u8]) -> (&[u8], &[u8]) {
    let at = name.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    name.split_at_checked(at).unwrap_or((b"", name))
}

#[cfg(test)]
mod tests {
    use super::{components, split_file};

    #[test]
    fn components_are_clean() {
        assert_eq!(components(b"../a//./b/../c/"), [b"a", b"c"]);
        assert!(components(b"/..").is_empty());
        assert_eq!(split_file(b"a/b/c"), (b"a/b/".as_slice(), b"c".as_slice()));
        assert_eq!(split_file(b"c"), (b"".as_slice(), b"c".as_slice()));
    }
}
