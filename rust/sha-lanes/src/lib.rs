//! SHA-256 of several independent messages of one length at once.
//!
//! The SHA instructions of x86-64 take four cycles each and wait for one another within a message, but two can start in that
//! time: with two or more messages interlaced a core hashes nearly twice as much as with one stream. Elsewhere the messages are
//! hashed one after the other by the crate sha2, which knows the instructions of its processors.
//!
//! This is a crate of its own because calling a function that needs CPU features is unsafe code, which the
//! core forbids: there is one such call here, after the features were found. The crates that offer the same
//! bring many kernels for other uses, and take minutes to compile.

use sha2::{Digest as _, Sha256};

#[cfg(target_arch = "x86_64")]
mod sha_ni;

pub const DIGEST_LEN: usize = 32;

/// Puts SHA-256(prefix || message) of each message into its place in `digests`.
///
/// As many messages are hashed as there are places; messages of different lengths are fine, but those of the same length are
/// faster.
pub fn hash_many(prefix: &[u8], messages: &[&[u8]], digests: &mut [[u8; DIGEST_LEN]]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = sha_ni::Lanes::find() {
        return lanes.hash_many(prefix, messages, digests);
    }
    one_by_one(prefix, messages, digests);
}

fn one_by_one(prefix: &[u8], messages: &[&[u8]], digests: &mut [[u8; DIGEST_LEN]]) {
    let mut prefixed = Sha256::new();
    prefixed.update(prefix);
    for (message, digest) in messages.iter().zip(digests) {
        *digest = prefixed.clone().chain_update(message).finalize().into();
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::{hash_many, one_by_one};

    fn bytes(len: usize, seed: u64) -> Vec<u8> {
        (0..len as u64).map(|i| ((i + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    }

    /// All numbers of messages around the number of lanes, with lengths of prefix and message around the boundaries of
    /// SHA-256's blocks.
    #[test]
    fn digests_are_those_of_sha2() {
        let lengths = [0, 1, 31, 32, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 256, 1000, 4096];
        for prefix_len in [0, 1, 31, 32, 55, 56, 63, 64, 65, 128, 255, 256] {
            let prefix = bytes(prefix_len, 7);
            for message_len in lengths {
                for count in 0..10 {
                    let all: Vec<_> = (0..count).map(|number| bytes(message_len, number * 1000)).collect();
                    let messages: Vec<_> = all.iter().map(Vec::as_slice).collect();
                    check(&prefix, &messages);
                }
            }
        }
    }

    #[test]
    fn messages_may_differ_in_length() {
        let all: Vec<_> = (0..50).map(|number| bytes(number * 7 % 130, number as u64)).collect();
        check(b"salt", &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    fn check(prefix: &[u8], messages: &[&[u8]]) {
        let mut expected = vec![[0; 32]; messages.len()];
        one_by_one(prefix, messages, &mut expected);
        let mut found = vec![[0; 32]; messages.len()];
        hash_many(prefix, messages, &mut found);
        assert!(found == expected, "prefix {} messages {}", prefix.len(), messages.len());
    }
}
