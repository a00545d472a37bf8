"""A pipeline with no tar and no ext4 in it: `python -m benches.bare IN OUT` reads, hashes, and writes the plain tar.

A thread for each and eight buffers of 256 KiB that go round. It shows what the stages of benches/stages.py, which run
alone there, cost beside each other, and what the machine's noise adds.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

BUFFERS = 8
BUFFER_BYTES = 256 * 1024
INPUT_BYTES = 128 * 1024


class Buffer:
    """Bytes under way, and how many threads are not done with them."""

    def __init__(self) -> None:
        self.data = bytearray(BUFFER_BYTES)
        self.length = 0
        self.users: list[bool] = []  # the last to take its own gets False; a list's pop is atomic


def main(source: str, target: str) -> None:
    """Run the three threads, reading on this one."""
    free: SimpleQueue[Buffer] = SimpleQueue()
    for _ in range(BUFFERS):
        free.put(Buffer())
    queues: list[SimpleQueue[Buffer | None]] = [SimpleQueue(), SimpleQueue()]
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as file, open(target, "wb", buffering=0) as out:
        threads = [
            threading.Thread(target=_consume, args=(queue, consume, free))
            for queue, consume in zip(queues, (digest.update, out.write), strict=True)
        ]
        for thread in threads:
            thread.start()
        reader = _reader(file)
        while True:
            buffer = free.get()
            buffer.length = reader.readinto(buffer.data)
            if not buffer.length:
                break
            buffer.users = [False, True]
            for queue in queues:
                queue.put(buffer)
        for queue in queues:
            queue.put(None)
        for thread in threads:
            thread.join()
        os.fsync(out.fileno())
    print(digest.hexdigest())


def _consume(queue: SimpleQueue[Buffer | None], consume: Any, free: SimpleQueue[Buffer]) -> None:
    while (buffer := queue.get()) is not None:
        consume(memoryview(buffer.data)[: buffer.length])
        if not buffer.users.pop():
            free.put(buffer)


def _reader(file: Any) -> Any:
    start = file.read(4)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        from isal.isal_zlib import _GzipReader

        return _GzipReader(file, INPUT_BYTES)
    if start == b"\x28\xb5\x2f\xfd":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(file, read_size=INPUT_BYTES)
    return file


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
