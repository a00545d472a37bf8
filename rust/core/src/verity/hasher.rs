//! Salted digests of many blocks at once. One stream of SHA-256 waits for its own results most of the time: several
//! independent blocks, interleaved, use the CPU's SHA instructions nearly twice as well.

use sha2::{Digest as _, Sha512};

use crate::sink::is_zero;
use crate::verity::{Algorithm, Parameters};

/// Blocks that are handed to the interleaved code at once: a multiple of its widths (4, 8, 16, 32).
const BATCH: usize = 64;

/// H(salt || block), as hash type 1 has it.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    salt: Vec<u8>,
    salted: Sha512,
}

impl Hasher {
    pub fn new(parameters: &Parameters) -> Self {
        let mut salted = Sha512::new();
        salted.update(&parameters.salt);
        Self { algorithm: parameters.algorithm, salt: parameters.salt.clone(), salted }
    }

    pub fn digest_len(&self) -> usize {
        self.algorithm.digest_len()
    }

    /// The digest of one block.
    pub fn one(&self, block: &[u8]) -> Vec<u8> {
        let mut digest = vec![0; self.digest_len()];
        self.some(&[block], &mut digest);
        digest
    }

    /// Appends the digests of all blocks of `bytes`. That of a block of zeros is known and not computed.
    pub fn many(&self, bytes: &[u8], block_len: usize, zero: &[u8], digests: &mut Vec<u8>) {
        let mut batch = [b"".as_slice(); BATCH];
        let mut place = [0; BATCH];
        let mut gathered = 0;
        let mut fresh = [0; BATCH * 64];
        for block in bytes.chunks(block_len) {
            let at = digests.len();
            digests.extend_from_slice(zero);
            if is_zero(block) {
                continue;
            }
            if let (Some(slot), Some(to)) = (batch.get_mut(gathered), place.get_mut(gathered)) {
                (*slot, *to) = (block, at);
                gathered += 1;
            }
            if gathered == BATCH {
                self.put(&batch, &place, &mut fresh, digests);
                gathered = 0;
            }
        }
        let (batch, _) = batch.split_at(gathered);
        self.put(batch, &place, &mut fresh, digests);
    }

    /// Hashes a batch and puts each digest in its place.
    fn put(&self, batch: &[&[u8]], places: &[usize], fresh: &mut [u8], digests: &mut [u8]) {
        let len = self.digest_len();
        let Some(fresh) = fresh.get_mut(..batch.len() * len) else { return };
        self.some(batch, fresh);
        for (digest, &place) in fresh.chunks(len).zip(places) {
            if let Some(to) = digests.get_mut(place..place + len) {
                to.copy_from_slice(digest);
            }
        }
    }

    fn some(&self, blocks: &[&[u8]], digests: &mut [u8]) {
        match self.algorithm {
            Algorithm::Sha256 => {
                sha_lanes::hash_many(&self.salt, blocks, digests.as_chunks_mut().0);
            }
            Algorithm::Sha512 => {
                for (block, digest) in blocks.iter().zip(digests.as_chunks_mut::<64>().0) {
                    *digest = self.salted.clone().chain_update(block).finalize().into();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256, Sha512};

    use super::Hasher;
    use crate::verity::Parameters;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    }

    /// The interleaved code against another implementation: every number of blocks of a batch, salts about the
    /// boundaries of SHA-256's own blocks, blocks of zeros between.
    #[test]
    fn digests_are_those_of_another_implementation() {
        for salt_len in [0, 1, 31, 32, 55, 56, 63, 64, 65, 119, 128, 256] {
            let salt = bytes(salt_len);
            for (name, block_len) in [("sha256", 512), ("sha256", 4096), ("sha512", 1024)] {
                let parameters = Parameters::new(name, block_len as u64, 4096, &salt).unwrap();
                let hasher = Hasher::new(&parameters);
                let other = |block: &[u8]| match name {
                    "sha256" => Sha256::new().chain_update(&salt).chain_update(block).finalize().to_vec(),
                    _ => Sha512::new().chain_update(&salt).chain_update(block).finalize().to_vec(),
                };
                let zero = hasher.one(&vec![0; block_len]);
                for blocks in [0, 1, 2, 3, 4, 5, 63, 64, 65, 131] {
                    let mut data = bytes(blocks * block_len);
                    if blocks > 2 {
                        data[block_len..2 * block_len].fill(0);
                    }
                    let expected: Vec<u8> = data.chunks(block_len).flat_map(other).collect();
                    let mut found = Vec::new();
                    hasher.many(&data, block_len, &zero, &mut found);
                    assert!(found == expected, "{name} {salt_len} {blocks}");
                }
            }
        }
    }
}
