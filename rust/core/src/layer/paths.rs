//! Paths into the tree: walked, symlinks followed inside the root, missing parents made.

use std::borrow::Cow;

use crate::error::{Error, Result, quote};
use crate::faults::Fault;
use crate::layer::merge::Merge;
use crate::sink::Sink;
use crate::tree::flag;
use crate::units::InodeNumber;

/// Symlinks followed in one path. Source: containerd, continuity/fs/path.go.
const MAX_SYMLINKS: u32 = 255;
/// Steps of one path through symlinks: their targets could make a path of a few bytes a million steps long.
const MAX_STEPS: u32 = 1 << 13;
/// Longest path in bytes (N18). Source: Linux, PATH_MAX less the NUL.
pub const MAX_PATH_LEN: usize = 4095;

/// Where a path led to.
#[derive(Clone, Copy, Debug)]
pub struct Walked {
    /// In hcsshim's own way that may be a file: what is put into it is then refused.
    pub directory: InodeNumber,
    /// It led through nothing else than directories.
    pub is_plain: bool,
}

/// What becomes of directories that are missing on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Made,
    /// The path leads nowhere.
    Left,
}

impl<S: Sink> Merge<S> {
    /// Makes the directories above an entry that are not there yet; returns the last of them.
    pub fn make_parents(&mut self, parts: &[&[u8]]) -> Result<Walked> {
        self.check_path(parts)?;
        let above = parts.split_last().map_or(parts, |(_, above)| above);
        let made_before = self.tree.highest();
        let walked = self.walk(above, Missing::Made)?.ok_or_else(|| missing(parts))?;
        let made = self.tree.highest() - made_before;
        if made > 0 {
            let plural = if made == 1 { "y" } else { "ies" };
            self.faults.found_with(Fault::B13, format_args!("{made} parent director{plural}"));
        }
        Ok(walked)
    }

    fn check_path(&self, parts: &[&[u8]]) -> Result<()> {
        let len = parts.iter().map(|part| part.len() + 1).sum::<usize>().saturating_sub(1);
        if len <= MAX_PATH_LEN || self.faults.reproduces(Fault::N18) {
            return Ok(());
        }
        let message = format!("the path has {len} bytes, at most {MAX_PATH_LEN} are allowed");
        Err(Error::invalid_entry(message).fault(Fault::N18))
    }

    /// The directory above the last part, which must be there.
    pub fn directory_above(&mut self, parts: &[&[u8]]) -> Result<InodeNumber> {
        let above = parts.split_last().map_or(parts, |(_, above)| above);
        Ok(self.walk(above, Missing::Left)?.ok_or_else(|| missing(parts))?.directory)
    }

    /// What a path leads to; its last part is not followed.
    pub fn find_path(&mut self, parts: &[&[u8]]) -> Result<Option<InodeNumber>> {
        let Some((name, above)) = parts.split_last() else { return Ok(Some(self.tree.root())) };
        let walked = self.walk(above, Missing::Left)?;
        Ok(walked.and_then(|walked| self.tree.child(walked.directory, name)))
    }

    /// Follows a path from the root.
    fn walk(&mut self, parts: &[&[u8]], on_missing: Missing) -> Result<Option<Walked>> {
        let mut directory = self.tree.root();
        for &part in parts {
            let child = self.tree.child(directory, part);
            if !self.faults.reproduces(Fault::B11)
                && let Some(child) = child
                && !self.tree.node(child).is_dir()
            {
                return self.walk_resolving(parts, on_missing);
            }
            directory = match (child, on_missing) {
                (Some(child), _) => child,
                (None, Missing::Made) => self.make_parent(directory, part, false)?,
                (None, Missing::Left) => return Ok(None),
            };
        }
        Ok(Some(Walked { directory, is_plain: true }))
    }

    /// A walk on which there is something else than a directory: symlinks are followed inside the root (B11).
    fn walk_resolving(&mut self, parts: &[&[u8]], on_missing: Missing) -> Result<Option<Walked>> {
        let mut rest: Vec<Cow<'_, [u8]>> = parts.iter().rev().map(|part| Cow::Borrowed(*part)).collect();
        let mut above = Vec::new();
        let mut directory = self.tree.root();
        let (mut followed, mut steps) = (0, 0);
        while let Some(part) = rest.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(Error::invalid_entry(format!(
                    "the path leads through symlinks to more than {MAX_STEPS} steps"
                )));
            }
            if matches!(&*part, b"" | b".") {
                continue;
            }
            if *part == *b".." {
                directory = above.pop().unwrap_or(self.tree.root());
                continue;
            }
            let child = self.tree.child(directory, &part);
            let step = match (child, on_missing) {
                (None, Missing::Left) => return Ok(None),
                (None, Missing::Made) => Step::Into(self.make_parent(directory, &part, false)?),
                (Some(child), _) => self.step(directory, &part, child, on_missing)?,
            };
            match step {
                Step::Into(child) => {
                    above.push(directory);
                    directory = child;
                }
                Step::Along(target) => {
                    followed += 1;
                    if followed > MAX_SYMLINKS {
                        return Err(Error::invalid_entry(format!(
                            "the path leads through more than {MAX_SYMLINKS} symlinks"
                        )));
                    }
                    self.faults.found(Fault::B11);
                    if target.first() == Some(&b'/') {
                        directory = self.tree.root();
                        above.clear();
                    }
                    rest.extend(target.split(|&b| b == b'/').rev().map(|part| Cow::Owned(part.to_vec())));
                }
            }
        }
        Ok(Some(Walked { directory, is_plain: false }))
    }

    /// A step onto what is there.
    fn step(
        &mut self,
        directory: InodeNumber,
        part: &[u8],
        child: InodeNumber,
        on_missing: Missing,
    ) -> Result<Step> {
        let node = self.tree.node(child);
        if node.is_dir() {
            Ok(Step::Into(child))
        } else if node.is_symlink() {
            Ok(Step::Along(self.tree.target_of(child).to_vec()))
        } else if node.has(flag::WHITEOUT) && on_missing == Missing::Made {
            self.faults.found(Fault::B9PathThroughWhiteout);
            self.remove(directory, part, child)?;
            Ok(Step::Into(self.make_parent(directory, part, true)?))
        } else {
            Err(Error::invalid_entry(format!("the path leads through {}, which is a file", quote(part))))
        }
    }
}

enum Step {
    Into(InodeNumber),
    /// A symlink's target.
    Along(Vec<u8>),
}

fn missing(parts: &[&[u8]]) -> Error {
    Error::invalid_entry(format!("the path {} is not in the layer", quote(&parts.join(&b'/'))))
}
