"""Salted digests of many blocks at once."""

from __future__ import annotations

import hashlib

from . import Parameters


class Hasher:
    """H(salt || block), as hash type 1 has it."""

    def __init__(self, parameters: Parameters) -> None:
        self._salted = hashlib.new(parameters.algorithm, parameters.salt)
        self.digest_len = parameters.digest_len

    def one(self, block: bytes | bytearray | memoryview) -> bytes:
        """Return the digest of one block."""
        salted = self._salted.copy()
        salted.update(block)
        return salted.digest()

    def many(self, data: memoryview, block_len: int, zero: bytes) -> bytes:
        """Return the digests of all blocks. That of a block of zeros is known and not computed."""
        copy = self._salted.copy
        zeros = bytes(block_len)
        digests = []
        for at in range(0, len(data), block_len):
            block = data[at : at + block_len]
            if block[0] == 0 and block == zeros:
                digests.append(zero)
            else:
                salted = copy()
                salted.update(block)
                digests.append(salted.digest())
        return b"".join(digests)
