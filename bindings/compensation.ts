/**
 * `db.compensate`: undoes a committed transaction by a new one.
 *
 * It is an interactive transaction whose body reads each row that the other one changed, refuses when one is not as that left it,
 * and puts the rows of before in their places. So what holds for `db.transact` holds here: what it has read is validated in its lane, constraints
 * and references are proved at its end, and it is one commit or none.
 *
 *   rows are taken away first, then changed, then put back, so that a unique value is free before it is taken
 *   a change of a column of a unique index is a row that goes and comes back, for two rows may have exchanged their values
 *
 * The id is made of the position: a second compensation answers what the first one did.
 */
import { ByteWriter } from '../engine/base/bytes.js'
import { encodeCanonical } from '../engine/base/canonical.js'
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type DecodedChange, type DecodedTransaction, LogFollower, type OpenEngine, type PlainRow, type TableStore } from '../engine/index.js'
import type { Receipt } from './database-types.js'
import { formatPosition, indexMax, inPositions, positionParts } from './position.js'
import { shown } from './schema/definition.js'
import type { CompensateOptions } from './time-types.js'
import { tableNamed, type Transactor } from './transact.js'

/** Ids of compensations begin with it; the position follows. */
const idPrefix = 'compensate:'
const compensateOptions = new Set(['also', 'signal', 'timeoutMs'])

interface BodyTable {
  get(key: unknown): PlainRow | undefined
  insert(row: PlainRow): unknown
  update(key: unknown, patch: PlainRow): void
  delete(key: unknown): boolean
}
interface Body {
  readonly [tableNamed]: (name: string) => BodyTable
}

/** `options` have been checked, but for what is its own. */
export async function compensate(open: OpenEngine, transactor: Transactor, position: unknown, options: CompensateOptions): Promise<Receipt<void>> {
  for (const name of Object.keys(options)) if (!compensateOptions.has(name)) throw SluiceError.of('INVALID_USE', `db.compensate() has no option "${name}"; it has ${[...compensateOptions].join(', ')}.`)
  const { also, signal, timeoutMs } = options
  if (also !== undefined && typeof also !== 'function') throw SluiceError.of('INVALID_USE', `The option also of db.compensate() is a function of tx, not ${shown(also)}.`)
  const parts = positionParts(position)
  if (parts === undefined || parts.index === indexMax) throw SluiceError.of('INVALID_USE', `db.compensate() takes the position of a commit, not ${shown(position)}.`)
  if (parts.batch > open.engine.durable) throw SluiceError.of('INVALID_USE', 'db.compensate() was asked for a position that this database has not reached.')
  let place: { readonly batch: number; readonly index: number; readonly repeated: boolean } | undefined
  let undone: Undoing | undefined
  const body = async (tx: object): Promise<void> => {
    undone ??= new Undoing(open, await transactionAt(open, parts))
    undone.run(tx as Body)
    await also?.(tx as never)
  }
  await transactor.transact(body, { id: `${idPrefix}${position as string}`, signal, timeoutMs, retries: limits.compensationRetries, placed: (at) => (place = at) })
  return { value: undefined, position: formatPosition(place!.batch, place!.index), durability: open.durability, repeated: place!.repeated }
}

class Undoing {
  readonly #changes: readonly DecodedChange[]
  readonly #tables: ReadonlyMap<string, TableStore>

  constructor(open: OpenEngine, { changes, lost, isCompacted }: DecodedTransaction) {
    if (isCompacted) throw SluiceError.of('HISTORY_GONE', 'Retention has taken changes of that transaction out of the log (retention.compact, retention.streams): it cannot be undone whole.')
    if (lost > 0) throw SluiceError.of('INVALID_USE', `That transaction changed ${lost} rows of tables that the application has no more: it cannot be undone whole.`)
    this.#changes = changes
    this.#tables = new Map(open.engine.parts.store.tables.map((table) => [table.name, table]))
  }

  run(tx: Body): void {
    const changes = this.#changes.map((change) => ({ ...change, at: tx[tableNamed](change.table) }))
    for (const { at, table, key, after } of changes) {
      if (sameRow(at.get(key), after)) continue
      throw SluiceError.of('CONFLICT', `A row of "${table}" is not as that transaction left it, so it cannot be undone: look at db.history() for who changed it, and decide what is right now.`, {
        details: { table, key },
      })
    }
    const inPlace = changes.filter((change) => this.#staysInPlace(change))
    const moved = changes.filter((change) => !inPlace.includes(change))
    for (const { at, key, after } of moved) if (after !== undefined) at.delete(key)
    for (const { at, key, before, after } of inPlace) at.update(key, differing(before!, after!))
    for (const { at, before } of moved) if (before !== undefined) at.insert(before)
  }

  #staysInPlace({ table, before, after }: DecodedChange): boolean {
    if (before === undefined || after === undefined) return false
    const { uniqueTrees, descriptor } = this.#tables.get(table)!
    return !uniqueTrees.some((tree) => [...tree.movedBy].some((column) => !sameValue(before[descriptor.columns[column]!.name], after[descriptor.columns[column]!.name])))
  }
}

/** The one transaction, from the log. */
async function transactionAt(open: OpenEngine, { batch, index }: { readonly batch: number; readonly index: number }): Promise<DecodedTransaction> {
  const { engine, catalog, disk } = open
  const follower = new LogFollower({
    frames: engine.parts.frames, catalog, disk,
    near: (near) => engine.frames.near(near),
    durable: () => Math.min(engine.durable, batch),
    written: () => engine.parts.control.written,
    filter: { tables: undefined, events: undefined, outcomes: true },
    afterBatch: batch - 1,
    afterIndex: -1,
  })
  try {
    while (follower.isBehind()) {
      const records: DecodedTransaction[] = []
      const before = follower.batch
      if (!follower.readRing(limits.streamBufferCommitsMax, records)) await inPositions(follower.readFiles(limits.streamBufferCommitsMax, records))
      const found = records.find((record) => record.batch === batch && record.index === index)
      if (found !== undefined) return found
      if (records.length === 0 && follower.batch === before) break
    }
  } finally {
    follower.close()
  }
  throw SluiceError.of('NOT_FOUND', `The log has no commit at position ${formatPosition(batch, index)}: pass the position of a commit, or of a receipt.`)
}

const one = new ByteWriter(256)
const other = new ByteWriter(256)

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' && typeof b !== 'object') return a === b
  one.reset()
  other.reset()
  encodeCanonical(a, one)
  encodeCanonical(b, other)
  return Buffer.compare(one.bytes(), other.bytes()) === 0
}

function sameRow(a: PlainRow | undefined, b: PlainRow | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  const names = Object.keys(b)
  return names.length === Object.keys(a).length && names.every((name) => sameValue(a[name], b[name]))
}

function differing(before: PlainRow, after: PlainRow): PlainRow {
  return Object.fromEntries(Object.entries(before).filter(([name, value]) => !sameValue(value, after[name])))
}
