"""What a disk may hold after a power cut, from a log of all writes: everything up to the last flush, and any part of what came
after it. Source of the format: QEMU block/blklogwrites.c, Linux Documentation/admin-guide/device-mapper/log-writes.rst."""
import os
import struct

MAGIC, VERSION, SECTOR = 0x6A736677736872, 1, 512
BLOCK = 4096  # is written whole or not at all: a file system without that may lose its superblock
SUPER, ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD = 1, 2, 4


class Write:
    def __init__(self, offset, data):
        self.offset, self.data = offset, data


def read(path):
    """The writes between flushes: a list of lists of Write."""
    size = os.path.getsize(path)
    batches = [[]]
    with open(path, "rb") as f:
        magic, version, _, sector = SUPER.unpack(f.read(SUPER.size))
        assert (magic, version, sector) == (MAGIC, VERSION, SECTOR), "not a log of writes"
        at = SECTOR
        while at + SECTOR <= size:
            f.seek(at)
            first, count, flags, length = ENTRY.unpack(f.read(ENTRY.size))
            at += SECTOR
            if flags & (FLUSH | FUA) and batches[-1]:
                batches.append([])
            if not count:
                continue
            # QEMU logs the count of zeros written, and no data, for a discard
            data = bytes(count * SECTOR)
            if not flags & DISCARD:
                f.seek(at)
                data = f.read(count * SECTOR)
                at += count * SECTOR
            if len(data) < count * SECTOR:
                break  # cut off in the middle of the log itself
            batches[-1].append(Write(first * SECTOR, data))
            if flags & FUA:
                batches.append([])
    return batches


def apply(file, writes):
    for w in writes:
        file.seek(w.offset)
        file.write(w.data)


def torn(write, random):
    """A write of which some blocks reached the medium."""
    for k in range(0, len(write.data), BLOCK):
        if random.random() < 0.5:
            yield Write(write.offset + k, write.data[k:k + BLOCK])


def survivors(batch, random, tries):
    """Which of the writes since the last flush a cut may have left: none, all, each prefix of few, and parts at random."""
    yield []
    if not batch:
        return
    yield batch
    for n in range(1, len(batch)) if len(batch) <= 6 else ():
        yield batch[:n]
    for _ in range(tries):
        part = [w for w in batch if random.random() < 0.5]
        random.shuffle(part)
        yield part
        yield [piece for w in batch for piece in torn(w, random)]
