//! Source, digest, consumer and writer, over a few chunks and buffers that go round:
//!
//! ```text
//!             +--> digest ---+
//!  source ----+              +----> back to the source when both are done with it
//!             +--> consumer -+
//!                      |
//!                      +----> writer ----> back to the consumer when it is written
//! ```
//!
//! The source runs on the caller's thread, since only there signals arrive and a Python reader may be called. So does the
//! writer where the destination is bound to that thread, as a Python writer is. All else has a thread of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::sink::{Destination, Sink};
use crate::stream::{Digest, Input};

/// Chunks under way at most: back-pressure, and the bound on memory.
const CHUNKS: usize = 10;
/// When all are under way, the source waits for this many to come back: waking it for each costs more than it gains.
const BATCH: usize = 5;
/// Buffers that wait for the writer at most.
const BUFFERS: usize = 2;
/// The digest and the one that is handed in.
const CONSUMERS: usize = 2;
/// How long the caller's thread may wait before it looks for signals.
const POLL: Duration = Duration::from_millis(50);

/// Where the stream comes from.
pub trait Source {
    type Chunk: AsRef<[u8]> + Send + Sync;

    /// The next bytes, at least one; `None` at the end. `spare` is an earlier chunk that is free again.
    fn read(&mut self, spare: Option<Self::Chunk>) -> Result<Option<Self::Chunk>>;

    /// Looks for a reason to stop; called all the time.
    fn poll(&mut self) -> Result<()>;

    /// Whether `read` may wait for somebody who sends nothing. It is then only called when all that came before is
    /// through, so that an error in it is told without waiting for more.
    fn may_wait(&self) -> bool {
        false
    }
}

/// Runs a stream through the digest and through `work`, whose writes to the destination are done beside it.
///
/// What the consumer leaves unread is read all the same, for the digest. It is told by an error from its
/// input and from its sink when the source fails.
pub fn run<S: Source, D: Destination, T: Send>(
    source: &mut S,
    destination: &mut D,
    work: impl FnOnce(&mut Chunks<'_, S::Chunk>, Behind<'_, D, S::Chunk>) -> Result<T> + Send,
) -> Result<(T, Digest)> {
    let bound = destination.is_bound();
    let destination = &Mutex::new(destination);
    let desk = &Desk::new(bound);
    thread::scope(|scope| {
        let _cancel = CancelAtEnd(desk);
        let (to_digest, for_digest) = mpsc::channel();
        let (to_consumer, for_consumer) = mpsc::channel();
        let digest = spawn(scope, || digest(&mut Chunks::new(for_digest, desk)))?;
        let consumer = spawn(scope, || -> Result<T> {
            let mut chunks = Chunks::new(for_consumer, desk);
            let done = work(&mut chunks, Behind { direct: (!bound).then_some(destination), desk })?;
            while chunks.next_chunk()? {}
            Ok(done)
        })?;
        let writer = if bound { None } else { Some(spawn(scope, || desk.write(destination))?) };
        let fed = Caller { source, destination, desk }.feed(&to_digest, &to_consumer);
        drop((to_digest, to_consumer));
        if !matches!(fed, Ok(true)) {
            desk.cancel();
        }
        let (digest, consumed, written) = (join(digest), join(consumer), writer.map_or(Ok(()), join));
        fed?;
        // Whoever failed by itself says more than that it was stopped: the writer first, then the consumer.
        written?;
        Ok((consumed?, digest?))
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let started = thread::Builder::new().spawn_scoped(scope, work);
    started.map_err(|error| io::Error::other(format!("cannot start a thread: {error}")).into())
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Nothing waits for somebody who was never started, however the scope is left.
struct CancelAtEnd<'p, C>(&'p Desk<C>);

impl<C> Drop for CancelAtEnd<'_, C> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What is done on the caller's thread.
struct Caller<'p, S: Source, D> {
    source: &'p mut S,
    destination: &'p Mutex<&'p mut D>,
    desk: &'p Desk<S::Chunk>,
}

type Inbox<C> = Receiver<Option<Arc<C>>>;
type Outbox<C> = Sender<Option<Arc<C>>>;

impl<S: Source, D: Destination> Caller<'_, S, D> {
    /// Passes the stream on; `false` if somebody gave up before its end.
    fn feed(mut self, to_digest: &Outbox<S::Chunk>, to_consumer: &Outbox<S::Chunk>) -> Result<bool> {
        let mut spares = Vec::new();
        let mut made = 0;
        loop {
            let quiet = self.source.may_wait();
            if quiet || spares.is_empty() || self.desk.bound {
                let wanted = if quiet {
                    made - spares.len()
                } else if spares.is_empty() && made == CHUNKS {
                    BATCH
                } else {
                    0
                };
                let mut state = self.wait(wanted, 0, quiet)?;
                if state.is_stopped() {
                    return Ok(false);
                }
                spares.append(&mut state.spares);
            }
            let spare = spares.pop();
            made += usize::from(spare.is_none());
            let Some(chunk) = self.source.read(spare)? else { break };
            // No copy may stay here: the consumer that gives the last one back returns the chunk.
            let chunk = Arc::new(chunk);
            if to_digest.send(Some(chunk.clone())).is_err() || to_consumer.send(Some(chunk)).is_err() {
                return Ok(false);
            }
        }
        if to_digest.send(None).is_err() || to_consumer.send(None).is_err() {
            return Ok(false);
        }
        Ok(!self.wait(0, CONSUMERS, true)?.has_failed())
    }

    /// Waits for this many chunks to be free, consumers to be through, and with `quiet` for all writes; meanwhile does what
    /// has to be done on this thread. Returns early when somebody gives up.
    fn wait(&mut self, spares: usize, ended: usize, quiet: bool) -> Result<MutexGuard<'_, State<S::Chunk>>> {
        let desk = self.desk;
        let mut was_woken = false;
        let mut state = desk.lock();
        loop {
            if desk.bound
                && let Some((offset, buffer)) = state.buffers.pop_front()
            {
                drop(state);
                desk.room.notify_one();
                let blank = lock(self.destination).write_buffer(offset, buffer)?;
                state = desk.lock();
                state.written(blank);
                continue;
            }
            let enough =
                state.spares.len() >= spares && state.ended >= ended && !(quiet && state.unwritten > 0);
            if enough || state.has_failed() || (ended == 0 && state.is_stopped()) {
                return Ok(state);
            }
            if was_woken {
                was_woken = false;
                drop(state);
                self.source.poll()?;
                state = desk.lock();
                continue;
            }
            (state.wanted, state.quiet) = (spares, quiet);
            state = desk.caller.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
            was_woken = true;
        }
    }
}

/// Where all leave what the others wait for.
struct Desk<C> {
    state: Mutex<State<C>>,
    /// Whether the caller's thread is the writer.
    bound: bool,
    canceled: AtomicBool,
    /// The caller waits here for chunks to come back, and for others to end.
    caller: Condvar,
    /// The writer's thread waits here for buffers.
    writer: Condvar,
    /// The consumer waits here for room for a buffer.
    room: Condvar,
}

struct State<C> {
    /// Chunks that no consumer uses any more.
    spares: Vec<C>,
    /// Consumers that are through with their work, well or not.
    ended: usize,
    /// What is to be written, with its offset.
    buffers: VecDeque<(u64, Vec<u8>)>,
    /// Empty buffers, to be used again.
    blanks: Vec<Vec<u8>>,
    /// Buffers that are not yet written.
    unwritten: usize,
    /// No buffer comes any more.
    closed: bool,
    /// The writer's thread has ended; if there are unwritten buffers then because it failed.
    writer_ended: bool,
    /// What the caller waits for: this many spares, and with `quiet` all writes.
    wanted: usize,
    quiet: bool,
}

impl<C> State<C> {
    fn has_failed(&self) -> bool {
        self.writer_ended && self.unwritten > 0
    }

    fn is_stopped(&self) -> bool {
        self.ended > 0 || self.has_failed()
    }

    fn written(&mut self, blank: Vec<u8>) {
        self.unwritten -= 1;
        self.blanks.push(blank);
    }
}

impl<C> Desk<C> {
    fn new(bound: bool) -> Self {
        let state = State {
            spares: Vec::new(),
            ended: 0,
            buffers: VecDeque::new(),
            blanks: Vec::new(),
            unwritten: 0,
            closed: false,
            writer_ended: false,
            wanted: 0,
            quiet: false,
        };
        let (caller, writer, room) = (Condvar::new(), Condvar::new(), Condvar::new());
        Self { state: Mutex::new(state), bound, canceled: AtomicBool::new(false), caller, writer, room }
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        lock(&self.state)
    }

    /// Lets nobody wait or write any more.
    fn cancel(&self) {
        let state = self.lock();
        self.canceled.store(true, Ordering::Relaxed);
        drop(state);
        self.writer.notify_all();
        self.room.notify_all();
    }

    fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }

    fn give_back(&self, chunk: Arc<C>) {
        if let Some(spare) = Arc::into_inner(chunk) {
            let mut state = self.lock();
            state.spares.push(spare);
            if state.spares.len() >= state.wanted {
                self.caller.notify_one();
            }
        }
    }

    fn end(&self) {
        self.lock().ended += 1;
        self.caller.notify_one();
    }

    /// Leaves a buffer for the writer; gives an empty one.
    fn leave(&self, offset: u64, buffer: Vec<u8>) -> Result<Vec<u8>> {
        let mut state = self.lock();
        while state.buffers.len() >= BUFFERS && !state.has_failed() && !self.is_canceled() {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.has_failed() || self.is_canceled() {
            return Err(Error::canceled());
        }
        state.buffers.push_back((offset, buffer));
        state.unwritten += 1;
        let blank = state.blanks.pop().unwrap_or_default();
        drop(state);
        if self.bound {
            self.caller.notify_one()
        } else {
            self.writer.notify_one()
        }
        Ok(blank)
    }

    /// The writer's thread.
    fn write<D: Destination>(&self, destination: &Mutex<&mut D>) -> Result<()> {
        let _end = WriterEnds(self);
        loop {
            let mut state = self.lock();
            let (offset, buffer) = loop {
                if self.is_canceled() {
                    return Ok(());
                }
                match state.buffers.pop_front() {
                    Some(next) => break next,
                    None if state.closed => return Ok(()),
                    None => state = self.writer.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            self.room.notify_one();
            let blank = lock(destination).write_buffer(offset, buffer)?;
            let mut state = self.lock();
            state.written(blank);
            if state.quiet && state.unwritten == 0 {
                self.caller.notify_one();
            }
        }
    }
}

struct WriterEnds<'p, C>(&'p Desk<C>);

impl<C> Drop for WriterEnds<'_, C> {
    fn drop(&mut self) {
        self.0.lock().writer_ended = true;
        self.0.caller.notify_one();
        self.0.room.notify_all();
    }
}

/// The stream on a consumer's side.
pub struct Chunks<'p, C> {
    inbox: Inbox<C>,
    current: Option<Arc<C>>,
    ended: bool,
    desk: &'p Desk<C>,
}

impl<'p, C> Chunks<'p, C> {
    fn new(inbox: Inbox<C>, desk: &'p Desk<C>) -> Self {
        Self { inbox, current: None, ended: false, desk }
    }
}

impl<C> Drop for Chunks<'_, C> {
    fn drop(&mut self) {
        self.desk.end();
    }
}

impl<C: AsRef<[u8]>> Input for Chunks<'_, C> {
    fn next_chunk(&mut self) -> Result<bool> {
        if let Some(done) = self.current.take() {
            self.desk.give_back(done);
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

/// The destination on the consumer's side: it takes buffers without waiting for them to be written.
pub struct Behind<'p, D, C> {
    /// For large pieces, which are written where they are; not where the caller's thread is the writer.
    direct: Option<&'p Mutex<&'p mut D>>,
    desk: &'p Desk<C>,
}

impl<D: Destination, C: Send> Sink for Behind<'_, D, C> {
    /// At once, and so perhaps before buffers that came earlier.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.desk.is_canceled() {
            return Err(Error::canceled());
        }
        match self.direct {
            Some(destination) => lock(destination).write_at(offset, bytes),
            None => self.desk.leave(offset, bytes.to_vec()).map(|_| ()),
        }
    }

    fn write_buffer(&mut self, offset: u64, blocks: Vec<u8>) -> Result<Vec<u8>> {
        self.desk.leave(offset, blocks)
    }
}

impl<D, C> Drop for Behind<'_, D, C> {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.writer.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
