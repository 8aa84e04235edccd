/** What recovery does with a row: from the image in the log or a checkpoint into the store, in groups as frames bring them. */
import { programOf } from '../../bindings/index.js'
import { LaneLog } from '../../engine/shared/lane-log.js'
import { RowLoader, type TableLoader, loadKind } from '../../engine/store/row-loader.js'
import { Store } from '../../engine/store/store.js'
import type { TableStore } from '../../engine/store/table-store.js'
import { RowWriter } from '../../engine/txn/row-writer.js'
import { randomSource } from '../statistics.js'
import { wideRow } from '../workloads/row-plan.js'
import application from '../workloads/rows.js'
import { laidDown, operationsPerRun, type MicroCase } from './micro-case.js'

const regionBytes = 2 ** 30
const rows = laidDown(200_000)
const partitions = 16
const batch = 1
const changeInts = 6

interface Images {
  readonly ints: Int32Array
  readonly bytes: Uint8Array
  /** Of row id: where its image begins in the ints; all are of one length. */
  readonly at: Int32Array
  readonly length: number
}

function emptyStore(): Store {
  const program = programOf(application)
  const sizes = { bytes: regionBytes, isDefault: false, workers: 1, partitions, historyBytes: 0 }
  return new Store(program, Store.plan(program, sizes), 0)
}

/** The images of all rows, as a transaction that inserts them records them. */
function images(): Images {
  const store = emptyStore()
  const table = store.tables[0] as TableStore
  const log = LaneLog.create({ lanes: 1, transactions: 1, changes: rows, events: 1, bytes: rows * 200 })
  const writer = new RowWriter(store)
  writer.batch = batch
  log.beginLane(-1)
  for (let id = 0; id < rows; id += 1) {
    const { owner, balance, opened, branch, status, note } = wideRow(id)
    const values = [id, owner, balance, opened, branch, status, note]
    table.key.setFromRow(values)
    const part = table.part(table.partitionOfKey())
    writer.begin()
    table.codec.stage(values, part.domain)
    writer.insert(part, 0)
    writer.commit(log)
  }
  const at = Int32Array.from({ length: rows }, (_, id) => (log.changes[id * changeInts + 2] as number) >>> 2)
  return { ints: log.byteWords, bytes: log.bytes, at, length: log.changes[3] as number }
}

/** An empty table, and changes of a thousand of its rows. */
function loading(): { change(kind: number, ids: Int32Array, from: number): void } {
  const store = emptyStore()
  const loader = new RowLoader(store, batch)
  const table = loader.table((store.tables[0] as TableStore).name) as TableLoader
  const all = images()
  return {
    change(kind, ids, from) {
      loader.begin(all.ints, all.bytes)
      for (let n = from; n < from + operationsPerRun; n += 1) table.add(kind, all.at[ids[n] as number] as number, all.length)
      loader.flush()
    },
  }
}

const ascending = Int32Array.from({ length: rows }, (_, id) => id)

export const loaderCases: readonly MicroCase[] = [
  {
    name: `row loader: update a row of ${rows.toLocaleString('en')}`,
    prepare() {
      const { change } = loading()
      for (let from = 0; from < rows; from += operationsPerRun) change(loadKind.insert, ascending, from)
      const below = randomSource(1)
      const drawn = Int32Array.from({ length: 64 * operationsPerRun }, () => below(rows))
      let from = 0
      return () => {
        change(loadKind.update, drawn, from)
        from = (from + operationsPerRun) % drawn.length
      }
    },
  },
  {
    name: 'row loader: insert a row, and delete it',
    prepare() {
      const { change } = loading()
      let from = 0
      return () => {
        change(loadKind.insert, ascending, from)
        change(loadKind.delete, ascending, from)
        from = (from + operationsPerRun) % rows
      }
    },
  },
]
