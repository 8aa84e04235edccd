/**
 * Generated keys inside `db.transact`: drawn from the counters of the snapshot, so that the body knows them at once.
 *
 * The counter is a row that the draft reads and writes, so another transaction that draws from it in between is a conflict. A row that
 * its number places goes where the snapshot has the smallest: which partition that is need not hold when it commits.
 */
import type { Draft } from './draft.js'
import { sequenceTableName } from './schema/sequence-table.js'
import type { PlainRow } from './store/row-codec.js'
import type { TableStore } from './store/table-store.js'
import { type Counter, Sequence } from './txn/sequence.js'

/** What a table of a draft does for counters. */
export interface DraftCounters {
  get(key: unknown): PlainRow | undefined
  put(row: unknown): void
  /** What the draft has put there itself, if it has. */
  ownRow(key: unknown): PlainRow | undefined
}

const tables = new WeakMap<Draft, DraftCounters>()

/** `makeTable` makes the counters as a table of the draft. */
export function draftSequence(draft: Draft, table: TableStore, makeTable: (counters: TableStore) => DraftCounters): Sequence | undefined {
  if (table.generated.length === 0) return undefined
  const store = draft.kit.store.tables.find(({ name }) => name === sequenceTableName)!
  let counters = tables.get(draft)
  if (counters === undefined) {
    counters = makeTable(store)
    tables.set(draft, counters)
  }
  const rows = counters
  const counter: Counter = {
    next: (partition) => rows.get([table.name, partition])?.['next'] as number | undefined,
    moveTo: (partition, next) => rows.put({ table: table.name, partition, next }),
  }
  return new Sequence(table, counter, {
    get partition() {
      return leastOf(draft, table, store, rows)
    },
    mayWrite: () => undefined,
  })
}

/** The partition whose next number is the smallest in the snapshot, own draws included. Nothing of it is written down. */
function leastOf(draft: Draft, table: TableStore, store: TableStore, rows: DraftCounters): number {
  let least = 0
  let leastNext = Infinity
  for (let partition = 0; partition < table.partitions; partition += 1) {
    const key = [table.name, partition]
    const own = rows.ownRow(key)
    const next = ((own ?? draft.view.get(store, key))?.['next'] as number | undefined) ?? (partition === 0 ? table.partitions : partition)
    if (next >= leastNext) continue
    least = partition
    leastNext = next
  }
  return least
}
