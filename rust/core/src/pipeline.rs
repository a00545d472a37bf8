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
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::stream::{Digest, Input};

/// Chunks under way at most: back-pressure, and the bound on memory.
const CHUNKS: usize = 10;
/// When all are under way, the source waits for so many to come back: waking it for each costs more than it gains.
const BATCH: usize = 5;
/// The digest and the one that is handed in.
const CONSUMERS: usize = 2;
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

/// Runs a stream through `consume` and the digest.
///
/// What the consumer leaves unread is read all the same, for the digest. It is told by an error from its
/// input, and by `canceled`, when the source fails.
pub fn run<S: Source, T: Send>(
    source: &mut S,
    canceled: &AtomicBool,
    consume: impl FnOnce(&mut Chunks<'_, S::Chunk>) -> Result<T> + Send,
) -> Result<(T, Digest)> {
    let pool = Pool::new();
    thread::scope(|scope| {
        let (to_digest, for_digest) = mpsc::channel();
        let (to_consumer, for_consumer) = mpsc::channel();
        let digest = scope.spawn(|| digest(&mut Chunks::new(for_digest, &pool)));
        let consumer = scope.spawn(|| -> Result<T> {
            let mut chunks = Chunks::new(for_consumer, &pool);
            let consumed = consume(&mut chunks)?;
            while chunks.next_chunk()? {}
            Ok(consumed)
        });
        let fed = feed(source, &pool, &to_digest, &to_consumer);
        drop((to_digest, to_consumer));
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

/// Passes the stream on; `false` if a consumer gave up before its end.
fn feed<S: Source>(
    source: &mut S,
    pool: &Pool<S::Chunk>,
    to_digest: &Sender<Option<Arc<S::Chunk>>>,
    to_consumer: &Sender<Option<Arc<S::Chunk>>>,
) -> Result<bool> {
    let mut spares = Vec::new();
    let mut made = 0;
    loop {
        if spares.is_empty() {
            let mut returns = pool.wait(source, if made == CHUNKS { BATCH } else { 0 }, 1)?;
            if returns.ended > 0 {
                return Ok(false);
            }
            spares.append(&mut returns.spares);
        }
        let spare = spares.pop();
        made += usize::from(spare.is_none());
        let Some(chunk) = source.read(spare)? else { break };
        // No copy may stay here: the consumer that gives the last one back returns the chunk.
        let chunk = Arc::new(chunk);
        if to_digest.send(Some(chunk.clone())).is_err() || to_consumer.send(Some(chunk)).is_err() {
            return Ok(false);
        }
    }
    if to_digest.send(None).is_err() || to_consumer.send(None).is_err() {
        return Ok(false);
    }
    drop(pool.wait(source, usize::MAX, CONSUMERS)?);
    Ok(true)
}

/// Where consumers leave what they are through with.
struct Pool<C> {
    returns: Mutex<Returns<C>>,
    changed: Condvar,
}

struct Returns<C> {
    /// Chunks that no consumer uses any more.
    spares: Vec<C>,
    /// Consumers that are through with their work, well or not.
    ended: usize,
}

impl<C> Pool<C> {
    fn new() -> Self {
        Self { returns: Mutex::new(Returns { spares: Vec::new(), ended: 0 }), changed: Condvar::new() }
    }

    fn give_back(&self, chunk: Arc<C>) {
        if let Some(spare) = Arc::into_inner(chunk) {
            let mut returns = lock(&self.returns);
            returns.spares.push(spare);
            if returns.spares.len() >= BATCH {
                self.changed.notify_one();
            }
        }
    }

    fn end(&self) {
        lock(&self.returns).ended += 1;
        self.changed.notify_one();
    }

    /// Waits for so many chunks, or for so many consumers to end, and looks for signals meanwhile.
    fn wait<S: Source<Chunk = C>>(
        &self,
        source: &mut S,
        spares: usize,
        ended: usize,
    ) -> Result<MutexGuard<'_, Returns<C>>> {
        let mut returns = lock(&self.returns);
        while returns.spares.len() < spares && returns.ended < ended {
            let waited = self.changed.wait_timeout(returns, POLL).unwrap_or_else(PoisonError::into_inner);
            returns = waited.0;
            if waited.1.timed_out() {
                drop(returns);
                source.poll()?;
                returns = lock(&self.returns);
            }
        }
        Ok(returns)
    }
}

/// The stream on a consumer's side.
pub struct Chunks<'p, C> {
    inbox: Receiver<Option<Arc<C>>>,
    current: Option<Arc<C>>,
    ended: bool,
    pool: &'p Pool<C>,
}

impl<'p, C> Chunks<'p, C> {
    fn new(inbox: Receiver<Option<Arc<C>>>, pool: &'p Pool<C>) -> Self {
        Self { inbox, current: None, ended: false, pool }
    }
}

impl<C> Drop for Chunks<'_, C> {
    fn drop(&mut self) {
        self.pool.end();
    }
}

impl<C: AsRef<[u8]>> Input for Chunks<'_, C> {
    fn next_chunk(&mut self) -> Result<bool> {
        if let Some(done) = self.current.take() {
            self.pool.give_back(done);
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

fn digest<C: AsRef<[u8]>>(chunks: &mut Chunks<'_, C>) -> Result<Digest> {
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
