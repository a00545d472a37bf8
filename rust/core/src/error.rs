//! What can go wrong, and where in the tar it did.

use std::fmt;

use crate::faults::Fault;

/// The class of a failure; the binding maps each to one exception of `layerdisk.errdefs`.
#[derive(Debug)]
pub enum ErrorKind {
    /// Malformed archive.
    InvalidTar,
    /// The stream ends early.
    Truncated,
    /// A well-formed entry that cannot be put into the tree.
    InvalidEntry,
    /// The maximum disk size or another fixed limit.
    DiskSizeExceeded,
    /// `reproduce_defects` where the reference crashes or is nondeterministic.
    NotReproducible,
    /// An option outside its range.
    InvalidArgument,
    /// Stopped on request.
    Canceled,
    /// The output failed.
    Io(std::io::Error),
    /// The caller's own reader, writer or callback failed; handed back unchanged.
    External(Box<dyn std::error::Error + Send + Sync>),
}

/// A failure, with the tar entry and the byte offset that it belongs to.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub entry: Option<Vec<u8>>,
    pub offset: Option<u64>,
    /// The fault of hcsshim that the refusal has to do with, if it is one of the table.
    pub fault: Option<Fault>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), entry: None, offset: None, fault: None }
    }

    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the entry, where the failure has to do with one and does not yet say where it is.
    pub fn in_entry(mut self, name: &[u8], offset: u64) -> Self {
        let elsewhere = matches!(self.kind, ErrorKind::Io(_) | ErrorKind::External(_) | ErrorKind::Canceled);
        if !elsewhere && self.offset.is_none() {
            self.entry = Some(name.to_vec());
            self.offset = Some(offset);
        }
        self
    }

    /// Adds the fault, whose code the error then has.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Fault code of docs/format.md.
    pub fn code(&self) -> Option<&'static str> {
        self.fault.map(Fault::code)
    }

    pub fn invalid_tar(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidTar, message)
    }

    pub fn truncated(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Truncated, message)
    }

    pub fn invalid_entry(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidEntry, message)
    }

    pub fn disk_size(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DiskSizeExceeded, message)
    }

    pub fn not_reproducible(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotReproducible, message)
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub fn canceled() -> Self {
        Self::new(ErrorKind::Canceled, "canceled")
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io(error), "writing the output failed")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.entry, self.offset) {
            (Some(entry), Some(offset)) => write!(f, "tar entry {} at byte {offset}: ", quote(entry))?,
            (None, Some(offset)) => write!(f, "tar header at byte {offset}: ")?,
            _ => {}
        }
        f.write_str(&self.message)?;
        match &self.kind {
            ErrorKind::Io(error) => write!(f, ": {error}"),
            ErrorKind::External(error) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Longest name shown whole in a message, and how much is shown of a longer one, in bytes.
const QUOTE_WHOLE_LEN: usize = 255;
const QUOTE_CUT_LEN: usize = 200;

/// Ranges of characters above U+009F that show nothing, break the line, or change the order or place of others.
/// The pure core has the same table (names.py).
const INVISIBLE: [(char, char); 9] = [
    ('\u{ad}', '\u{ad}'),       // soft hyphen
    ('\u{61c}', '\u{61c}'),     // Arabic letter mark
    ('\u{180e}', '\u{180e}'),   // Mongolian vowel separator
    ('\u{200b}', '\u{200f}'),   // zero width, left-to-right and right-to-left marks
    ('\u{2028}', '\u{202e}'),   // line and paragraph separators, embeddings and overrides
    ('\u{2060}', '\u{206f}'),   // invisible operators, isolates, deprecated format characters
    ('\u{feff}', '\u{feff}'),   // byte order mark
    ('\u{fff0}', '\u{ffff}'),   // interlinear annotations, specials, non-characters
    ('\u{e0000}', '\u{e0fff}'), // tags, variation selectors
];

/// A raw name as readable text on one line: printable characters as they are, every other byte as `\xNN`.
pub fn quote(name: &[u8]) -> String {
    let shown = match name.get(..QUOTE_CUT_LEN) {
        Some(cut) if name.len() > QUOTE_WHOLE_LEN => cut,
        _ => name,
    };
    let mut text = String::with_capacity(shown.len() + 2);
    text.push('"');
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                ' '..='~' => text.push(c),
                '\u{a0}'.. if !INVISIBLE.iter().any(|&(first, last)| (first..=last).contains(&c)) => {
                    text.push(c)
                }
                _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| push_hex(&mut text, b)),
            }
        }
        chunk.invalid().iter().for_each(|&b| push_hex(&mut text, b));
    }
    text.push('"');
    if shown.len() < name.len() {
        text.push_str(&format!(" ({} bytes)", name.len()));
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    text.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quote_shows_text_and_escapes_the_rest() {
        assert_eq!(quote("a b\"\\é\n".as_bytes()), "\"a b\\\"\\\\é\\x0a\"");
        assert_eq!(quote(b"\xff\xc2\x85"), "\"\\xff\\xc2\\x85\"");
        assert_eq!(quote("\u{202e}\u{2028}".as_bytes()), "\"\\xe2\\x80\\xae\\xe2\\x80\\xa8\"");
        assert_eq!(quote(&[b'a'; 256]), format!("\"{}\" (256 bytes)", "a".repeat(200)));
    }
}
