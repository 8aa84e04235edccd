/**
 * The end of an interactive transaction, in its lane: are its reads still true, then apply its writes.
 *
 * A body of `db.transact` runs on the caller's thread over a snapshot (engine/draft.ts). What it has read and written becomes the input of one
 * procedure, `$transact`, which is sequenced like any other call. Here every read is repeated through the ordinary table handles
 * and compared with what the body saw; one that differs is `CONFLICT`. Then the writes go through the same handles. So
 * constraints, journal, log bytes, atomic handlers, strays, recovery and the oracle know nothing of interactive transactions.
 *
 * This is backward validation (Kung and Robinson, "On Optimistic Methods for Concurrency Control", TODS 6(2), 1981), by value instead of by
 * version: a read is valid when it gives the same answer now, whatever happened in between. If all of them do, the body would have
 * run exactly so at this place of the serial order, for it saw nothing else of the database; hence the outcome is serializable.
 * A value that went away and came back (ABA) is no conflict, and rightly.
 *
 *   D1  All reads are of the snapshot, none of the body's own writes: they are repeated before the first write is applied.
 *   D2  Absent keys and empty ranges are reads. A range repeats its bounds and reads as many rows as the body looked at.
 *   D3  `add` and `put` are no reads; `update` of some columns reads only that the row exists.
 *
 * Why not versions (batch numbers of rows and pages): a row has one number for all its columns, a range has none, rows that were
 * deleted lose theirs, and lanes would have to keep what nobody else needs.
 */
import { ByteReader } from '../base/bytes.js'
import { decodeCanonical } from '../base/canonical.js'
import { SluiceError } from '../base/errors.js'
import { type ProcedureProgram, type Program, type ServiceProgram, transactName } from '../schema/descriptor.js'
import { sequenceTableName } from '../schema/sequence-table.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import { readsOf, type RecordedRead, type RecordedWrite, writesOf } from './draft-codec.js'
import { committed, decodeError } from './outcome.js'
import type { TableAccess } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'
import { ValueHash } from './value-hash.js'

/** The input of `$transact`. */
export interface DraftInput {
  readonly reads: Uint8Array
  readonly writes: Uint8Array
  /** What a call with an id ends with: the kind of its outcome (outcome.ts), then the value or the error. Empty: no value. */
  readonly answer: Uint8Array
}

const bytesColumn = (name: string) => ({ name, type: 'bytes', nullable: false }) as const

/** It owns the engine's own procedures; no user can name it (R64). */
const engineService: ServiceProgram = { name: '$engine', tables: new Map(), events: new Map(), aborts: undefined }

/** A program and the procedure that ends interactive transactions: behind the user's, so that it takes none of their numbers. */
export function withTransact(program: Program): Program {
  const transact: ProcedureProgram = {
    descriptor: { name: transactName, columns: [bytesColumn('reads'), bytesColumn('writes'), bytesColumn('answer')], placed: true },
    checks: [],
    json: [],
    handle: Object.freeze({}),
    service: program.services.length,
    partition: undefined,
    isKnownByName: true,
    run: (commit: DraftCommit, input: DraftInput) => commit.run(input),
  }
  return { ...program, services: [...program.services, engineService], procedures: [...program.procedures, transact] }
}

/** The scope of the engine's own service, where `service` is it. */
export function engineScope(transaction: Transaction, service: ServiceProgram, makeTable: (transaction: Transaction, table: TableStore) => TableAccess): ServiceScope | undefined {
  return service === engineService ? { tx: new DraftCommit(transaction, makeTable), aborts: undefined } : undefined
}

class DraftCommit {
  readonly #transaction: Transaction
  /** Made when they are needed: most databases use few tables in this way, and many never. */
  readonly #handles: (TableAccess | undefined)[] = []
  readonly #makeTable: (transaction: Transaction, table: TableStore) => TableAccess
  readonly #hash = new ValueHash()

  constructor(transaction: Transaction, makeTable: (transaction: Transaction, table: TableStore) => TableAccess) {
    this.#transaction = transaction
    this.#makeTable = makeTable
  }

  run({ reads, writes, answer }: DraftInput): unknown {
    for (const read of readsOf(new ByteReader(reads))) {
      if (!this.#isTrue(read)) this.#transaction.fail(conflict(this.#tableAt(read.table), read))
    }
    for (const write of writesOf(new ByteReader(writes))) this.#apply(write)
    if (answer.length === 0) return undefined
    const reader = new ByteReader(answer)
    const outcome = reader.u8()
    if (outcome !== committed) this.#transaction.fail(decodeError(outcome, reader))
    return decodeCanonical(reader)
  }

  #isTrue(read: RecordedRead): boolean {
    const handle = this.#handle(read.table)
    switch (read.kind) {
      case 'absent':
      case 'present':
        return handle.has(read.key) === (read.kind === 'present')
      case 'row': {
        const row = handle.get(read.key)
        return row !== undefined && this.#isSame(read, [row], namesOf(this.#tableAt(read.table)))
      }
      case 'column': {
        const row = handle.row(read.key) as PlainRow | undefined
        return row !== undefined && this.#isSame(read, [row], [namesOf(this.#tableAt(read.table))[read.column]!])
      }
      default: {
        const table = this.#tableAt(read.table)
        const rows = [...this.#rowsAgain(handle, table, read)]
        return rows.length === read.count && this.#isSame(read, rows, namesOf(table))
      }
    }
  }

  #rowsAgain(handle: TableAccess, table: TableStore, { kind, tree, argument }: Extract<RecordedRead, { readonly tree: number }>): Iterable<PlainRow> {
    if (kind === 'scan') return handle.scan(argument)
    const index = handle.index[table.trees[tree]!.name]!
    if (kind === 'indexScan') return index.scan(argument)
    const found = index.get(argument)
    if (Array.isArray(found)) return found as readonly PlainRow[]
    return found === undefined ? [] : [found as PlainRow]
  }

  #isSame(read: { readonly low: number; readonly high: number }, rows: readonly PlainRow[], names: readonly string[]): boolean {
    this.#hash.begin()
    for (const row of rows) this.#hash.row(row, names)
    const { low, high } = this.#hash.end()
    return low === read.low && high === read.high
  }

  #apply(write: RecordedWrite): void {
    if (write.kind === 'emit') {
      this.#transaction.emit(write.event, write.payload)
      return
    }
    const handle = this.#handle(write.table)
    const names = namesOf(this.#tableAt(write.table))
    switch (write.kind) {
      case 'insert':
        handle.insert(recordOf(names, write.values))
        break
      case 'put':
        handle.put(recordOf(names, write.values))
        break
      case 'update':
        handle.update(write.key, recordOf(write.columns.map((column) => names[column]!), write.values))
        break
      case 'add':
        handle.add(write.key, recordOf(write.columns.map((column) => names[column]!), write.values))
        break
      case 'remove':
        handle.delete(write.key)
    }
  }

  #tableAt(ordinal: number): TableStore {
    return this.#transaction.store.tables[ordinal]!
  }
  #handle(ordinal: number): TableAccess {
    return (this.#handles[ordinal] ??= this.#makeTable(this.#transaction, this.#tableAt(ordinal)))
  }
}

const namesByTable = new WeakMap<TableStore, readonly string[]>()

/** The columns of a table by name, in declared order. */
export function namesOf(table: TableStore): readonly string[] {
  let names = namesByTable.get(table)
  if (names === undefined) {
    names = table.descriptor.columns.map((column) => column.name)
    namesByTable.set(table, names)
  }
  return names
}

function recordOf(names: readonly string[], values: readonly unknown[]): PlainRow {
  return Object.fromEntries(names.map((name, n) => [name, values[n]]))
}

function conflict(table: TableStore, read: RecordedRead): SluiceError {
  const { what, of, details } = table.name === sequenceTableName ? sequenceRead(read) : { of: table.name, ...whatOf(table, read) }
  return SluiceError.of('CONFLICT', `${what} of "${of}" changed after this transaction had read it, so it has no effect: run it again on a new snapshot, or let \`retries\` do it.`, {
    details: { table: of, ...details },
  })
}

/** Somebody else has drawn from the sequence of a table. */
function sequenceRead(read: RecordedRead): { readonly what: string; readonly of: string; readonly details: Readonly<Record<string, unknown>> } {
  const [table, partition] = ('key' in read ? read.key : []) as [string, number]
  return { what: 'The next generated key', of: table, details: { partition } }
}

function whatOf(table: TableStore, read: RecordedRead): { readonly what: string; readonly details: Readonly<Record<string, unknown>> } {
  switch (read.kind) {
    case 'absent':
    case 'present':
    case 'row':
      return { what: 'A row', details: { key: read.key } }
    case 'column':
      return { what: 'A column', details: { key: read.key, column: namesOf(table)[read.column] } }
    case 'scan':
      return { what: 'A range', details: { range: shownRange(read.argument) } }
    case 'indexScan':
      return { what: 'A range', details: { index: table.trees[read.tree]!.name, range: shownRange(read.argument) } }
    case 'indexGet':
      return { what: 'An index', details: { index: table.trees[read.tree]!.name, values: read.argument } }
  }
}

/** Its limit is how many rows the body looked at, and no longer what it asked for. */
function shownRange(range: unknown): object {
  const { limit: _, ...rest } = range as { readonly limit?: number }
  return rest
}
