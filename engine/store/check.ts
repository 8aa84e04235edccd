/**
 * Walks a whole store and proves its invariants. Nothing may run meanwhile; every test ends with it.
 *
 *   C1  Every row in a hash index is found under its own key and lies in the partition that its key says.
 *   C2  Every live row stands exactly once in each tree of its table that is to hold it, and a tree holds nothing else.
 *   C3  The count of a part is the number of its live rows.
 *   C4  An undo chain goes back in time, and no row is newer than the newest batch.
 *   C5  No two rows of a unique tree have the same values.
 */
import { assert } from '../base/assert.js'
import { KeyBuffer } from '../schema/key-codec.js'
import { flagDeleted } from './domain.js'
import type { Store } from './store.js'
import type { TablePart, TableStore, TreePlan } from './table-store.js'

const chainMax = 1_000_000

export interface CheckedStore {
  readonly rows: number
  readonly deleted: number
}

export function checkStore(store: Store, newest: number): CheckedStore {
  let rows = 0
  let deleted = 0
  for (const table of store.tables) {
    const all: number[] = []
    for (let partition = 0; partition < table.partitions; partition += 1) {
      const part = table.part(partition)
      const live = checkRows(store, table, part, newest)
      rows += live.length
      deleted += part.hash.entries - live.length
      assert(part.countNow() === live.length, `C3: "${table.name}" counts ${part.countNow()} rows in partition ${partition} and has ${live.length}`)
      checkTrees(table, part, live)
      if (table.hasAcross) all.push(...live)
    }
    for (const plan of table.trees) if (plan.isAcross) checkTree(table, table.part(0), plan, all)
  }
  return { rows, deleted }
}

function checkRows(store: Store, table: TableStore, part: TablePart, newest: number): number[] {
  const { i32, f64 } = store.region
  const live: number[] = []
  part.hash.forEach((row) => {
    const values = table.layout.columns.map((column) => table.codec.readers[column.ordinal]!(row))
    table.key.setFromRow(values)
    assert(part.findAny() === row, `C1: a row of "${table.name}" is found under its own key`)
    assert(table.partitionOfKey() === part.partition, `C1: a row of "${table.name}" lies in its partition`)
    let ts = f64[row]!
    assert(ts <= newest, `C4: a row of "${table.name}" is of batch ${ts}, after the newest, ${newest}`)
    const isKept = ts > store.snapshots.floor(store.domains.indexOf(part.domain))
    for (let image = isKept ? i32[row * 2 + 2]! : 0, steps = 0; image !== 0; image = i32[image * 2 + 2]!, steps += 1) {
      if (f64[image]! <= store.snapshots.floor(store.domains.indexOf(part.domain))) break
      assert(f64[image]! < ts, `C4: an undo chain of "${table.name}" goes back in time`)
      assert(steps < chainMax, `C4: an undo chain of "${table.name}" ends`)
      ts = f64[image]!
    }
    if ((i32[row * 2 + 3]! & flagDeleted) === 0) live.push(row)
  })
  return live
}

function checkTrees(table: TableStore, part: TablePart, live: readonly number[]): void {
  for (const plan of table.trees) if (!plan.isAcross) checkTree(table, part, plan, live)
}

function checkTree(table: TableStore, part: TablePart, plan: TreePlan, live: readonly number[]): void {
  const key = new KeyBuffer()
  const tree = part.trees[plan.ordinal]!
  const held = live.filter(plan.holds)
  tree.check()
  assert(tree.entriesNow() === held.length, `C2: tree "${plan.name}" of "${table.name}" has ${tree.entriesNow()} entries for ${held.length} rows`)
  const values = new Set<string>()
  for (const row of held) {
    key.reset()
    plan.codec.encode(plan.columns.map((column) => table.codec.readers[column]!(row)), key)
    assert(tree.find(tree.rootNow(), key.bytes, key.length) === row, `C2: a row of "${table.name}" stands in tree "${plan.name}"`)
    if (!plan.unique) continue
    key.reset()
    if (!plan.appendValues(row, key)) continue
    const text = Buffer.from(key.view()).toString('latin1')
    assert(!values.has(text), `C5: the rows of "${table.name}" in "${plan.name}" have different values`)
    values.add(text)
  }
}
