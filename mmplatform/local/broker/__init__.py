"""A single-node broker that speaks the Kafka protocol, so that one machine needs neither Java nor Docker.

It is the default replay log of `mmplatform up` and never the answer for two machines: that is Kafka, and nothing in
the platform asks for more than the public protocol. What is not implemented is not advertised, and refused with the
protocol's own error. Why it exists: docs/adr/0004-embedded-broker.md. What it promises:
docs/explanation/embedded-broker.md.

    socket ─▶ server      frames in, answers out in order; one connection's trouble stays its own
                │ wire    bytes ⇄ kio's typed messages         versions: any version ⇄ the one the handlers speak
                │ claims  no array may claim more items than its request has bytes for
                ▼
             dispatch     the table of implemented APIs and versions
                │
        api/ ───┴── one module for each family: produce, fetch, positions, metadata, topics, configs,
                │   membership, groups, offsets, producers
                ▼
             node         everything that is open in one data directory
              ├─ log/     catalog ─▶ partition ─▶ segment + index      the batches, verbatim
              │           flusher (group fsync) · recovery (torn tail) · cleaner ─▶ compaction
              │           batch (the 61-byte header) · records (one record) · producers (idempotence)
              ├─ groups/  coordinator ─▶ rebalance ─▶ group · persistence · offsets
              └─ store    SQLite: topics, checkpoints, offsets, members, counters; one writer thread, group commit

    process, __main__     lock, loopback check, signals, the end of standard input or of the parent

What holds, and where it is made to hold:

- *Acknowledged means on disk.* `partition.append` writes, `flusher` syncs, `partition.flushed` moves the high
  watermark and only then are acks=all producers answered. Consumers read up to the high watermark, never past it, so
  what somebody has seen cannot be taken back by a crash. Offset commits are answered after SQLite's commit.
- *What the disk refused is not there.* A change is seen only once the store has it, otherwise it is undone and answered
  with KAFKA_STORAGE_ERROR (`errors`). A refused flush ends the process (`flusher.halt`); the next start recovers.
- *Order.* Requests of a connection start in the order of arrival, and `produce` appends before its first await.
- *Bytes are the producer's.* A batch is checked (length, checksum, size, sequence), its base offset and leader epoch
  are set, and it is kept verbatim, compressed as it came. Records are opened only for offsets by time and compaction.
- *A start reads only what the last checkpoint does not cover*, and cuts the log behind the last sound batch. Compaction
  moves the checkpoint behind what it rewrites; a position that fits no batch is not believed.
- *One thread decides.* All state changes on the event loop. Other threads only sync files, write SQLite, and rewrite
  closed segments for compaction into new files.
"""
