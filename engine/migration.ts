/**
 * A migration: tables whose rows the application makes anew, at opening, before anything is served (decision 0026).
 *
 *   group begins   in the log: all that follows counts together, or not at all (wal/log-scan.ts)
 *     the catalog before     every row of the tables that are made anew, or go, is deleted
 *     the catalog of today   what the application makes of each of them is inserted, by transactions as any other: columns, checks,
 *                            unique indexes and generated keys hold as they do in life
 *   group ends     synced, whatever the level of the database is: from here on the migration has happened
 *
 * So whoever follows the log, a stream, a checkpoint, a tool, sees rows go and rows come and needs to know nothing of migrations. The rows
 * of before and those of today are of different generations of their table (schema/catalog.ts), because nothing but the
 * application's functions leads from the one to the other. A process that dies in the middle leaves the end of a log that nobody was
 * told about, which the next opening cuts: then the migration has not begun.
 *
 * Replicas that are others now, or gone, lose their rows in the same way, and nothing is made of these: followers copy them anew (replica-follower.ts).
 *
 * References from tables that are made, or to them, are proved behind the last row: the rows come table by table, and may refer to later ones.
 *
 * Everything on the thread that opens, one frame at a time, over the store that will be served. Rows of before are read from a store
 * of their own, which stays as it is meanwhile: functions may look at any row of it.
 */
import { messageOf, SluiceError } from './base/errors.js'
import { limits } from './base/limits.js'
import type { RebuiltStore } from './offline/rebuilt-store.js'
import type { LoggedCatalog } from './schema/catalog.js'
import type { Migration, OldDatabase, OldRow, OldTable, ProcedureProgram, Program, RowMigration } from './schema/descriptor.js'
import { rowHeaderWords } from './schema/row-layout.js'
import { proveReferences, type SchemaChange } from './schema-change.js'
import { BatchRecord } from './shared/batch-record.js'
import { sharedBuffer } from './shared/buffers.js'
import { Control } from './shared/control.js'
import { FrameRing } from './shared/frame-ring.js'
import { LaneLog, recordCostBytes } from './shared/lane-log.js'
import { Sealer } from './sequencer/seal.js'
import type { PlainRow } from './store/row-codec.js'
import { writeImage } from './store/row-image.js'
import type { Store } from './store/store.js'
import type { TableStore } from './store/table-store.js'
import { committed } from './txn/outcome.js'
import { makeServiceScope } from './txn/service-scope.js'
import { TableHandle } from './txn/table-handle.js'
import { crossLane, Transaction } from './txn/transaction.js'
import { bareKey } from './txn/violation.js'
import { changeKind, encodeSchema, type LogWriter } from '../wal/index.js'

/** What the records of a migration are called in the log. */
export const migrateName = '$migrate'

export interface MigrationProgress {
  readonly phase: 'migration'
  /** Of rows of before that were read, and of all that are; long values not counted. */
  readonly bytes: number
  readonly bytesInAll: number
}

export interface MigrationOptions {
  /** With system tables. */
  readonly program: Program
  readonly change: SchemaChange
  readonly old: RebuiltStore
  /** The store of today, in which the rows of all other tables lie already. */
  readonly store: Store
  readonly writer: LogWriter
  readonly firstBatch: number
  readonly previous: number
  readonly nowMs: number
  readonly onProgress: ((progress: MigrationProgress) => void) | undefined
  /** Between two frames: lets the event loop turn, and throws when opening was given up. */
  readonly pause: () => Promise<void>
}

/** Answers the newest batch, whose frame ends the group. */
export async function migrate(options: MigrationOptions): Promise<number> {
  const { writer, change, old, store, program } = options
  const before = new FrameMaker(options, old.store, old.store.partitions)
  writer.explain(schemaOf({ ...change.before, procedures: [] }))
  writer.beginGroup()
  const removal = new Removal(before, old, change.rewritten)
  while (removal.step()) await options.pause()

  writer.explain(schemaOf(change.today))
  const after = new FrameMaker({ ...options, firstBatch: before.batch, previous: before.previous }, store, store.partitions)
  store.references.checkNone()
  const making = new Making(program, change, old, store, after)
  for (let goesOn = true; goesOn; ) {
    goesOn = making.step()
    if (making.bytesInAll > 0) options.onProgress?.({ phase: 'migration', bytes: making.bytesRead, bytesInAll: making.bytesInAll })
    await options.pause()
  }
  proveReferences(store, change)
  writer.endGroup()
  return after.previous
}

/** A log in which the records of the migration have the procedure behind all others. */
function schemaOf(catalog: LoggedCatalog): Uint8Array {
  return encodeSchema(JSON.stringify({ ...catalog, procedures: [...catalog.procedures, migrateName] }))
}

// ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Holds one frame of the largest transaction. */
const frameRingBytes = 4 * limits.transactionBytesMax

/** One transaction after the other, a frame for each, into the log. */
class FrameMaker {
  readonly log: LaneLog
  batch: number
  previous: number
  readonly #options: MigrationOptions
  readonly #control = Control.create(1)
  readonly #record: BatchRecord
  readonly #frames: FrameRing
  readonly #sealer: Sealer
  #counter: number

  constructor(options: MigrationOptions, store: Store, partitions: number) {
    this.#options = options
    this.batch = options.firstBatch
    this.previous = options.previous
    const changes = Math.ceil((1.5 * limits.transactionBytesMax) / recordCostBytes)
    this.log = LaneLog.create({ lanes: 1, transactions: 1, changes, events: 1, bytes: 2 * limits.transactionBytesMax })
    this.#record = BatchRecord.create(partitions)
    this.#frames = new FrameRing(sharedBuffer(frameRingBytes), sharedBuffer(frameRingBytes), this.#control, frameRingBytes)
    this.#sealer = new Sealer({ control: this.#control, frames: this.#frames, logs: [this.log], store, isMemory: true, hasLogThread: false })
    this.#counter = this.#frames.publishedHead
  }

  begin(): void {
    this.log.clear()
    this.log.beginLane(crossLane)
  }

  /** What was recorded since `begin` becomes a frame of the log. */
  end(procedure: number): void {
    const { writer, nowMs } = this.#options
    this.log.addTransaction(0, procedure, committed, 0, 0, 0, 0, 0)
    this.log.endLane()
    this.#record.begin(this.batch, this.previous, nowMs, 0, 1)
    this.#sealer.seal(this.#record)
    this.#sealer.publish(this.batch)
    const entry = this.#frames.read(this.#counter, this.#frames.publishedHead)!
    writer.append(entry.body, { batch: entry.batch, previous: entry.previous })
    this.#counter = entry.next
    this.previous = this.batch
    this.batch += 1
  }
}

// ── rows go ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Deletes, as the log says them. The store of before is only read: it is asked for its rows until the end. */
class Removal {
  readonly #frames: FrameMaker
  readonly #tables: readonly TableStore[]
  readonly #rows: Generator<{ readonly table: TableStore; readonly row: number }, void, void>
  readonly #length = { bytes: 0 }

  constructor(frames: FrameMaker, old: RebuiltStore, names: ReadonlySet<string>) {
    this.#frames = frames
    this.#tables = old.tables.filter((table) => names.has(table.name))
    this.#rows = this.#addresses(old.store)
  }

  *#addresses(store: Store): Generator<{ readonly table: TableStore; readonly row: number }, void, void> {
    for (const table of this.#tables) {
      for (let partition = 0; partition < table.partitions; partition += 1) {
        const found: number[] = []
        table.part(partition).hash.forEach((row) => void (store.isLive(row) && found.push(row)))
        for (const row of found) yield { table, row }
      }
    }
  }

  /** One frame; false when there is nothing left. */
  step(): boolean {
    const { log } = this.#frames
    this.#frames.begin()
    let count = 0
    while (count < limits.migrationRowsMax && log.transactionCost < limits.batchBytesMax) {
      const next = this.#rows.next()
      if (next.done === true) break
      const { table, row } = next.value
      const { memory } = table.codec
      const at = writeImage(log, table, memory, memory.i32, row * 2, this.#length)
      log.addChange(table.ordinal, changeKind.delete, 0, 0, at, this.#length.bytes)
      count += 1
    }
    if (count === 0) return false
    this.#frames.end(0)
    return true
  }
}

// ── rows come ─────────────────────────────────────────────────────────────────────────────────────────────────

class Making {
  bytesRead = 0
  readonly bytesInAll: number
  readonly #store: Store
  readonly #frames: FrameMaker
  readonly #transaction: Transaction
  readonly #procedure: number
  readonly #tables: readonly TableStore[]
  readonly #steps: readonly Migration[]
  readonly #old: RebuiltStore
  readonly #database: OldDatabase
  readonly #made: Generator<{ readonly handle: TableHandle; readonly row: OldRow }, void, void>
  #work: () => void = () => undefined
  /** What is being made, for who is told that it failed. */
  #at: { table: string; from: string; key: unknown } = { table: '', from: '', key: undefined }

  constructor(program: Program, change: SchemaChange, old: RebuiltStore, store: Store, frames: FrameMaker) {
    this.#store = store
    this.#frames = frames
    this.#old = old
    this.#database = oldDatabase(old)
    this.#steps = change.steps
    const names = new Set(this.#steps.flatMap(({ tables }) => [...tables.keys()]))
    this.#tables = store.tables.filter((table) => names.has(table.name))
    this.bytesInAll = old.tables.reduce((bytes, table) => bytes + this.#timesRead(table.name) * old.count(table) * bytesOf(table), 0)
    this.#procedure = program.procedures.length
    const procedure: ProcedureProgram = {
      descriptor: { name: migrateName, columns: [], placed: false },
      checks: [], json: [], handle: Object.freeze({}), service: program.services.length - 1, partition: undefined,
      run: () => this.#work(),
    }
    this.#transaction = new Transaction({ ...program, procedures: [...program.procedures, procedure] }, store, frames.log, makeServiceScope)
    this.#made = this.#rows()
  }

  /** One transaction; false when all rows are there. The last one may be empty: that a migration was is always written down. */
  step(): boolean {
    const transaction = this.#transaction
    const { batch } = this.#frames
    let hasMore = true
    this.#work = () => {
      for (let count = 0; hasMore && count < limits.migrationRowsMax && transaction.writer.written < limits.batchBytesMax; count += 1) {
        const next = this.#made.next()
        hasMore = next.done !== true
        if (next.done !== true) next.value.handle.insert(next.value.row)
      }
    }
    for (const domain of this.#store.domains) domain.beginBatch()
    this.#frames.begin()
    transaction.beginBatch(batch, 0, 0)
    transaction.begin(crossLane, 0)
    try {
      transaction.run(this.#procedure, {})
    } catch (thrown) {
      throw this.#failed(transaction.outcomeOf(thrown))
    }
    transaction.commit()
    this.#frames.end(this.#procedure)
    for (const domain of this.#store.domains) domain.endBatch(batch)
    for (const ordinal of this.#store.domains.keys()) this.#store.reclaim(ordinal, batch, batch + 1, limits.reclaimMarksPerBatchMax)
    return hasMore
  }

  *#rows(): Generator<{ readonly handle: TableHandle; readonly row: OldRow }, void, void> {
    for (const table of this.#tables) {
      const handle = new TableHandle(this.#transaction, table)
      this.#at.table = table.name
      for (const row of this.#rowsAfter(this.#steps.length, table.name)) yield { handle, row }
    }
  }

  /** The rows of a table behind the first steps: each step makes of the rows that the one before has made. */
  *#rowsAfter(count: number, name: string): Generator<OldRow, void, void> {
    if (count === 0) {
      yield* this.#stored(name)
      return
    }
    const migration = this.#steps[count - 1]!.tables.get(name)
    if (migration === 'drop') return
    if (migration === undefined) yield* this.#rowsAfter(count - 1, name)
    else for (const row of this.#rowsAfter(count - 1, migration.from)) yield* this.#madeOf(migration.rows, row)
  }

  *#stored(name: string): Generator<OldRow, void, void> {
    const table = this.#old.tables.find((one) => one.name === name)
    if (table === undefined) return
    for (const row of this.#old.rows(table)) {
      this.#at.from = name
      this.#at.key = keyIn(table, row)
      this.bytesRead += bytesOf(table)
      yield Object.freeze(row)
    }
  }

  #madeOf(rows: RowMigration, row: OldRow): readonly OldRow[] {
    const made: unknown = rows(row, this.#database)
    if (made === undefined || made === null) return []
    if (typeof (made as { then?: unknown }).then === 'function') {
      Promise.resolve(made).catch(() => undefined)
      throw SluiceError.of('INVALID_USE', 'a migration is synchronous, and this one answers a promise')
    }
    return Array.isArray(made) ? (made as readonly OldRow[]) : [made as OldRow]
  }

  /** How often the rows of a table are read as they were. */
  #timesRead(name: string): number {
    return this.#tables.filter((table) => this.#rootOf(table.name) === name).length
  }

  /** The table of before whose rows a table is made of; undefined where it is made of none. */
  #rootOf(name: string): string | undefined {
    let root = name
    for (let count = this.#steps.length; count > 0; count -= 1) {
      const migration = this.#steps[count - 1]!.tables.get(root)
      if (migration === 'drop') return undefined
      root = migration?.from ?? root
    }
    return root
  }

  #failed(cause: unknown): SluiceError {
    const { table, from, key } = this.#at
    const why = messageOf(cause)
    const of = key === undefined ? '' : ` of the row ${Array.isArray(key) ? `[${key.map(String).join(', ')}]` : String(key)} of "${from}"`
    return SluiceError.of('SCHEMA_MISMATCH', `The migration of "${table}" made nothing that can be stored${of}: ${why}\nNothing was changed.`, {
      cause,
      details: { table, ...(key !== undefined && { from, key }) },
    })
  }
}

const bytesOf = (table: TableStore): number => (table.layout.words - rowHeaderWords) * 8
const keyIn = ({ descriptor }: TableStore, row: PlainRow): unknown => bareKey(descriptor.key.map((column) => row[descriptor.columns[column]!.name]))

function oldDatabase(old: RebuiltStore): OldDatabase {
  const tables = Object.create(null) as Record<string, OldTable>
  for (const table of old.tables) {
    tables[table.name] = Object.freeze({
      get: (key: unknown) => {
        const values = Array.isArray(key) ? (key as readonly unknown[]) : [key]
        const row: PlainRow = {}
        table.descriptor.key.forEach((column, n) => void (row[table.descriptor.columns[column]!.name] = values[n]))
        return old.find(table, row)
      },
      [Symbol.iterator]: () => old.rows(table),
    })
  }
  return Object.freeze(tables)
}
