/**
 * How better-sqlite3 is opened and how its transactions are bounded, for every workload: WAL, synchronous = FULL, prepared
 * BEGIN IMMEDIATE and COMMIT statements (the library's `transaction()` wrapper measured the same).
 *
 * Options: `file` (else :memory:), `group` (operations per commit; else each by itself), `checkpointPages` (0: none by itself),
 * `exclusive`, `cacheMiB` (default 512).
 */
import Database from 'better-sqlite3'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

export function openDatabase(directory, { file = false, checkpointPages = 1_000, exclusive = false, cacheMiB = 512 }) {
  const db = new Database(file ? join(directory, 'peer.sqlite') : ':memory:')
  if (file) {
    if (exclusive) db.pragma('locking_mode = EXCLUSIVE')
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = FULL')
    db.pragma('mmap_size = 1073741824')
    db.pragma(`wal_autocheckpoint = ${checkpointPages}`)
  }
  db.pragma(`cache_size = ${-cacheMiB * 1_024}`)
  db.pragma('temp_store = MEMORY')
  return db
}

export function transactions(db) {
  const begin = db.prepare('BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const rollback = db.prepare('ROLLBACK')
  return (work) => {
    begin.run()
    try {
      work()
      commit.run()
    } catch (error) {
      rollback.run()
      throw error
    }
  }
}

/** What is there when the play begins: in the file and not in the log. */
export function loaded(db, { file = false }, load) {
  transactions(db)(load)
  if (file) db.pragma('wal_checkpoint(TRUNCATE)')
}

/** `alone` is an operation that needs no other transaction than its own; `operate` one inside a transaction. */
export function groupedPlay(db, { group }, operate, alone) {
  const inTransaction = transactions(db)
  return (first, count, latency) => {
    const end = first + count
    for (let index = first; index < end;) {
      const start = latency && performance.now()
      if (group === undefined) alone(index++)
      else {
        const groupEnd = Math.min(index + group, end)
        inTransaction(() => {
          for (; index < groupEnd; index += 1) operate(index)
        })
      }
      if (latency) latency.record(performance.now() - start)
    }
  }
}
