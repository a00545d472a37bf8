//! The hashes of data that is there already, read by position on as many threads as are worth while.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use crate::error::{Error, Result};
use crate::verity::Parameters;
use crate::verity::hasher::Hasher;
use crate::verity::leaves::Leaves;
use crate::verity::tree::{Spill, Tree};

/// What a thread reads and hashes at a time, in bytes: a multiple of every block size.
const SEGMENT_LEN: u64 = 1 << 20;
/// More threads than this wait for the memory, and each holds two segments.
const MAX_WORKERS: usize = 8;

/// Bytes that can be read by position, from several threads if it says so.
pub trait ReadAt: Sync {
    /// Fills the buffer; less only at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Whether several threads may read at the same time; otherwise only the caller's thread does, in order.
    fn is_parallel(&self) -> bool;
}

/// Where the data is.
pub struct Data<'d> {
    pub source: &'d dyn ReadAt,
    /// Its bytes; `None`: up to where the source ends.
    pub length: Option<u64>,
    /// Parts that are not holes, in order; the rest is zeros and not read.
    pub ranges: Vec<(u64, u64)>,
}

/// Called with the number of bytes that were gone through, often; an error ends the work.
pub type Progress<'p> = &'p mut dyn FnMut(u64) -> Result<()>;

/// The leaves of some data, ready to be finished, and its length.
pub fn build(
    data: &Data<'_>,
    parameters: &Parameters,
    spill: Option<Box<dyn Spill>>,
    progress: Progress<'_>,
) -> Result<(Leaves, u64)> {
    let mut tree = Tree::new(parameters, spill);
    let hasher = tree.hasher().clone();
    let end = digests(data, &hasher, parameters.data_block_len(), &mut |first, digests, end| {
        tree.put(first, digests)?;
        progress(end)
    })?;
    Ok((Leaves::new(tree), data.length.unwrap_or(end)))
}

/// Takes the number of the first block, the digests from there on, and the offset that was reached.
type Take<'t> = &'t mut dyn FnMut(u64, &[u8], u64) -> Result<()>;

/// Hands on the digests of all blocks that are not in holes, in order; returns the end of the data.
pub fn digests(data: &Data<'_>, hasher: &Hasher, block_len: usize, take: Take<'_>) -> Result<u64> {
    let zero = hasher.one(&vec![0; block_len]);
    let hash = |segment: &Range<u64>| -> Result<Hashed> {
        let mut buffer = vec![0; (segment.end - segment.start) as usize];
        let read = data.source.read_at(segment.start, &mut buffer)?;
        buffer.truncate(read);
        buffer.resize(read.next_multiple_of(block_len), 0);
        let mut digests = Vec::new();
        hasher.many(&buffer, block_len, &zero, &mut digests);
        Ok(Hashed { digests, read: read as u64 })
    };
    let segments = || segments(data, block_len as u64);
    let mut end = 0;
    let mut last = |segment: Range<u64>, hashed: Hashed| -> Result<bool> {
        end = segment.start + hashed.read;
        let is_short = end < segment.end;
        if is_short && data.length.is_some_and(|length| end < length) {
            return Err(Error::invalid_argument(format!("the data ends at byte {end}, before its length")));
        }
        if !hashed.digests.is_empty() {
            take(segment.start / block_len as u64, &hashed.digests, end)?;
        }
        Ok(is_short)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    if workers == 1 || !data.source.is_parallel() {
        for segment in segments() {
            let hashed = hash(&segment)?;
            if last(segment, hashed)? {
                break;
            }
        }
    } else {
        thread::scope(|scope| -> Result<()> {
            let inboxes: Vec<_> = (0..workers)
                .map(|worker| {
                    let (outbox, inbox) = mpsc::sync_channel(1);
                    let hash = &hash;
                    scope.spawn(move || work(segments().skip(worker).step_by(workers), hash, &outbox));
                    inbox
                })
                .collect();
            for (segment, inbox) in segments().zip(inboxes.iter().cycle()) {
                // A thread that ended without a word panicked; the scope hands that on.
                let Ok(hashed) = inbox.recv() else { break };
                if last(segment, hashed?)? {
                    break;
                }
            }
            Ok(())
        })?;
    }
    Ok(end)
}

struct Hashed {
    digests: Vec<u8>,
    read: u64,
}

fn work(
    segments: impl Iterator<Item = Range<u64>>,
    hash: &(impl Fn(&Range<u64>) -> Result<Hashed> + Sync),
    outbox: &SyncSender<Result<Hashed>>,
) {
    for segment in segments {
        // Nobody listens any more once the end or an error was seen.
        if outbox.send(hash(&segment)).is_err() {
            break;
        }
    }
}

/// What is read at a time: whole blocks of the parts that are not holes, each block once.
fn segments(data: &Data<'_>, block_len: u64) -> impl Iterator<Item = Range<u64>> {
    let length = data.length.unwrap_or(u64::MAX);
    let mut from = 0;
    data.ranges.iter().flat_map(move |&(start, end)| {
        let start = (start - start % block_len).max(from);
        let end = end.checked_next_multiple_of(block_len).unwrap_or(u64::MAX).min(length);
        from = from.max(end.checked_next_multiple_of(block_len).unwrap_or(u64::MAX));
        (0..end.saturating_sub(start).div_ceil(SEGMENT_LEN)).map(move |number| {
            let at = start + number * SEGMENT_LEN;
            at..end.min(at.saturating_add(SEGMENT_LEN))
        })
    })
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match read_some(self, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    fn is_parallel(&self) -> bool {
        true
    }
}

#[cfg(unix)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Data, ReadAt, build};
    use crate::error::Result;
    use crate::verity::Parameters;
    use crate::verity::leaves::Leaves;
    use crate::verity::tree::Tree;

    pub struct Memory {
        pub bytes: Vec<u8>,
        pub parallel: bool,
    }

    impl ReadAt for Memory {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
            let rest = self.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }

        fn is_parallel(&self) -> bool {
            self.parallel
        }
    }

    #[test]
    fn threads_and_holes_do_not_change_the_root() {
        let mut bytes: Vec<u8> =
            (0..2_200_003u64).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
        bytes[1_000_000..1_200_000].fill(0);
        for block in [512, 524_288] {
            let parameters = Parameters::new("sha256", block, 4096, &[7; 9]).unwrap();
            let mut leaves = Leaves::new(Tree::new(&parameters, None));
            leaves.written(0, &bytes).unwrap();
            let expected = leaves.finish(bytes.len() as u64).unwrap();
            for parallel in [false, true] {
                let memory = Memory { bytes: bytes.clone(), parallel };
                for (length, ranges) in [
                    (None, vec![(0, u64::MAX)]),
                    (Some(2_200_003), vec![(0, 1_000_100), (1_199_000, 2_200_003)]),
                    (Some(2_200_003), vec![(0, 5), (5, 700), (701, 2_200_003)]),
                ] {
                    let data = Data { source: &memory, length, ranges };
                    let (mut found, length) = build(&data, &parameters, None, &mut |_| Ok(())).unwrap();
                    assert_eq!(found.finish(length).unwrap(), expected, "{block} {parallel} {length:?}");
                }
            }
        }
    }

    #[test]
    fn data_that_ends_early_is_an_error() {
        let memory = Memory { bytes: vec![1; 10_000], parallel: true };
        let parameters = Parameters::new("sha256", 4096, 4096, &[]).unwrap();
        let data = Data { source: &memory, length: Some(20_000), ranges: vec![(0, 20_000)] };
        assert!(build(&data, &parameters, None, &mut |_| Ok(())).is_err());
    }
}
