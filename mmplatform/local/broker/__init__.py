"""A single-node broker that speaks the Kafka protocol, so that one machine needs neither Java nor Docker.

It is the default replay log of `mmplatform up`, for one machine only: several machines need Kafka, and the platform
uses only the public protocol. An API that is not implemented is not advertised, and refused with the protocol's own
error. Reasons: docs/adr/0004-embedded-broker.md. Guarantees: docs/explanation/embedded-broker.md.

    socket ─▶ server      frames in, answers out in order; errors stay within their connection
                │ wire    bytes ⇄ kio's typed messages         versions: any version ⇄ the one the handlers speak
                │ array_bounds  no array may claim more items than its request has bytes for
                ▼
             dispatch     the table of implemented APIs and versions
                │
        api/ ───┴── one module for each family: produce, fetch, positions, metadata, topics, configs,
                │   membership, groups, offsets, producers
                ▼
             node         all open files and state of one data directory
              ├─ log/     catalog ─▶ partition ─▶ segment + index      the batches, verbatim
              │           flusher (group fsync) · recovery (torn tail) · cleaner ─▶ compaction
              │           batch (the 61-byte header) · records (one record) · producers (idempotence)
              ├─ groups/  coordinator ─▶ rebalance ─▶ group · persistence · offsets
              └─ store    SQLite: topics, checkpoints, offsets, members, counters; one writer thread, group commit

    process, __main__     lock, loopback check, signals, the end of standard input or of the parent

Guarantees, and the code that keeps them:

- *Acknowledged means on disk.* `partition.append` writes, `flusher` syncs, `partition.flushed` moves the high
  watermark and only then are acks=all producers answered. Consumers read up to the high watermark, never past it, so a
  crash cannot take back a record that was read. Offset commits are answered after SQLite's commit.
- *A refused write leaves nothing.* A change is visible only once the store has it; otherwise it is undone and answered
  with KAFKA_STORAGE_ERROR (`errors`). A refused flush ends the process (`flusher.halt`); the next start recovers.
- *Order.* Requests of a connection start in the order of arrival, and `produce` appends before its first await.
- *Bytes are the producer's.* A batch is checked (length, checksum, size, sequence), its base offset and leader epoch
  are set, and it is stored verbatim, compressed as it came. Records are opened only for offsets by time and compaction.
- *A start reads only what the last checkpoint does not cover*, and cuts the log behind the last sound batch. Compaction
  moves the checkpoint behind what it rewrites; a position that fits no batch is ignored.
- *One thread decides.* All state changes on the event loop. Other threads only sync files, write SQLite, and rewrite
  closed segments for compaction into new files.
"""
