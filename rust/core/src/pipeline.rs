//! Source, digest, consumer and writer, a thread each, over a few chunks and buffers that go round:
//!
//! ```text
//!             +--> digest ---+
//!  source ----+              +----> back to the source when both are done with it
//!             +--> consumer -+
//!                      |
//!                      +----> writer ----> back to the consumer when it is written
//! ```
//!
//! The source runs on the caller's thread, since only there signals arrive and a Python reader may be called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::tar::Input;

/// Chunks under way at most: back-pressure, and the bound on memory.
const CHUNKS: usize = 8;
/// How long the source's thread may wait before it looks for signals.
const POLL: Duration = Duration::from_millis(50);

/// Where the stream comes from.
pub trait Source {
    type Chunk: AsRef<[u8]> + Send + Sync;

    /// The next bytes, at least one; `None` at the end. `spare` is an earlier chunk that is free again.
    fn read(&mut self, spare: Option<Self::Chunk>) -> Result<Option<Self::Chunk>>;

    /// Looks for a reason to stop; called all the time.
    fn poll(&mut self) -> Result<()>;
}

/// The stream's SHA-256 and length, to the last byte.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    pub sha256: [u8; 32],
    pub size: u64,
}

/// Runs a stream through `consume` and the digest.
///
/// What the consumer leaves unread is read all the same, for the digest. It is told by an error from its
/// input, and by `canceled`, when the source fails.
pub fn run<S: Source, T: Send>(
    source: &mut S,
    canceled: &AtomicBool,
    consume: impl FnOnce(&mut Chunks<S::Chunk>) -> Result<T> + Send,
) -> Result<(T, Digest)> {
    thread::scope(|scope| {
        let (events, inbox) = mpsc::channel();
        let (to_digest, for_digest) = mpsc::channel();
        let (to_consumer, for_consumer) = mpsc::channel();
        let back = Events(events.clone());
        let digest = scope.spawn(move || digest(&mut Chunks::new(for_digest, back)));
        let back = Events(events);
        let consumer = scope.spawn(move || -> Result<T> {
            let mut chunks = Chunks::new(for_consumer, back);
            let consumed = consume(&mut chunks)?;
            while chunks.next_chunk()? {}
            Ok(consumed)
        });
        let fed = feed(source, &inbox, [to_digest, to_consumer]);
        if !matches!(fed, Ok(true)) {
            canceled.store(true, Ordering::Relaxed);
        }
        let (digest, consumed) = (join(digest), join(consumer));
        match fed {
            Err(error) => Err(error),
            // The consumer's own error says more than that it stopped.
            Ok(_) => Ok((consumed?, digest?)),
        }
    })
}

/// What the consumers tell the source.
enum Event<C> {
    /// One of two has no more use for the chunk.
    Returned(Arc<C>),
    /// One of two is through with its work, well or not.
    Ended,
}

struct Events<C>(Sender<Event<C>>);

impl<C> Drop for Events<C> {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Ended); // nobody listens any more: as good
    }
}

/// Passes the stream on; `false` if a consumer gave up before its end.
fn feed<S: Source>(
    source: &mut S,
    inbox: &Receiver<Event<S::Chunk>>,
    consumers: [Sender<Option<Arc<S::Chunk>>>; 2],
) -> Result<bool> {
    let mut under_way = 0;
    let mut spares = Vec::new();
    loop {
        // Everything that is back, and if too much is out, wait for some of it.
        loop {
            match next_event(source, inbox, under_way == CHUNKS)? {
                Some(Event::Returned(chunk)) => {
                    if let Some(spare) = Arc::into_inner(chunk) {
                        spares.push(spare);
                        under_way -= 1;
                    }
                }
                Some(Event::Ended) => return Ok(false),
                None => break,
            }
        }
        let Some(chunk) = source.read(spares.pop())? else { break };
        let chunk = Arc::new(chunk);
        under_way += 1;
        for consumer in &consumers {
            if consumer.send(Some(chunk.clone())).is_err() {
                return Ok(false);
            }
        }
    }
    for consumer in &consumers {
        if consumer.send(None).is_err() {
            return Ok(false);
        }
    }
    let mut ended = 0;
    while ended < consumers.len() {
        if let Some(Event::Ended) = next_event(source, inbox, true)? {
            ended += 1;
        }
    }
    Ok(true)
}

fn next_event<S: Source>(
    source: &mut S,
    inbox: &Receiver<Event<S::Chunk>>,
    wait: bool,
) -> Result<Option<Event<S::Chunk>>> {
    if !wait {
        return Ok(inbox.try_recv().ok());
    }
    loop {
        match inbox.recv_timeout(POLL) {
            Ok(event) => return Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => source.poll()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Some(Event::Ended)),
        }
    }
}

/// The stream on a consumer's side.
pub struct Chunks<C> {
    inbox: Receiver<Option<Arc<C>>>,
    current: Option<Arc<C>>,
    ended: bool,
    back: Events<C>,
}

impl<C> Chunks<C> {
    fn new(inbox: Receiver<Option<Arc<C>>>, back: Events<C>) -> Self {
        Self { inbox, current: None, ended: false, back }
    }
}

impl<C: AsRef<[u8]>> Input for Chunks<C> {
    fn next_chunk(&mut self) -> Result<bool> {
        if let Some(done) = self.current.take() {
            let _ = self.back.0.send(Event::Returned(done)); // fails only when the source is gone
        }
        if self.ended {
            return Ok(false);
        }
        self.current = self.inbox.recv().map_err(|_| Error::canceled())?;
        self.ended = self.current.is_none();
        Ok(!self.ended)
    }

    fn chunk(&self) -> &[u8] {
        self.current.as_deref().map_or(&[], |chunk| chunk.as_ref())
    }
}

fn digest<C: AsRef<[u8]>>(chunks: &mut Chunks<C>) -> Result<Digest> {
    let mut sha256 = Sha256::new();
    let mut size = 0;
    while chunks.next_chunk()? {
        sha256.update(chunks.chunk());
        size += chunks.chunk().len() as u64;
    }
    Ok(Digest { sha256: sha256.finalize().into(), size })
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Buffers on their way to the sink at most.
const BUFFERS: usize = 2;

/// A sink whose buffers are written by a thread of its own, one after the other.
pub struct Behind<'s, K> {
    sink: &'s Mutex<K>,
    outbox: SyncSender<(u64, Vec<u8>)>,
    spares: Receiver<Vec<u8>>,
}

/// Does some work with a sink that takes buffers without waiting for them to be written.
pub fn write_behind<K: Sink, T>(sink: K, work: impl FnOnce(Behind<'_, K>) -> Result<T>) -> Result<(T, K)> {
    let sink = Mutex::new(sink);
    let done = thread::scope(|scope| {
        let (outbox, inbox) = mpsc::sync_channel(BUFFERS);
        let (back, spares) = mpsc::channel();
        let writer = scope.spawn(|| -> Result<()> {
            let back = back;
            for (offset, buffer) in inbox {
                let _ = back.send(lock(&sink).write_buffer(offset, buffer)?); // nobody may want it any more
            }
            Ok(())
        });
        let done = work(Behind { sink: &sink, outbox, spares });
        // Its own error says more than that it stopped.
        join(writer).and(done)
    })?;
    Ok((done, sink.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

impl<K: Sink> Sink for Behind<'_, K> {
    /// At once, and so perhaps before buffers that came earlier.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        lock(self.sink).write_at(offset, bytes)
    }

    fn write_buffer(&mut self, offset: u64, blocks: Vec<u8>) -> Result<Vec<u8>> {
        self.outbox.send((offset, blocks)).map_err(|_| Error::canceled())?;
        Ok(self.spares.try_recv().unwrap_or_default())
    }

    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        lock(self.sink).finish(length, sync)
    }
}

fn lock<K>(sink: &Mutex<K>) -> MutexGuard<'_, K> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sink that fails as soon as the conversion is canceled, so that a long write does not hold it up.
pub struct Cancelable<'c, K> {
    pub sink: K,
    pub canceled: &'c AtomicBool,
}

impl<K: Sink> Sink for Cancelable<'_, K> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Error::canceled());
        }
        self.sink.write_at(offset, bytes)
    }

    fn finish(&mut self, length: u64, sync: bool) -> Result<()> {
        self.sink.finish(length, sync)
    }
}
