/** Rows, hash index and B+tree, one thread, without transactions: what the operations above them can cost at least. */
import { programOf } from '../../bindings/index.js'
import { Domain } from '../../engine/store/domain.js'
import { everything } from '../../engine/store/ordered-cursor.js'
import { OrderedIndex, orderedCellWords } from '../../engine/store/ordered-index.js'
import { Store } from '../../engine/store/store.js'
import type { TableStore } from '../../engine/store/table-store.js'
import { randomSource } from '../statistics.js'
import { wideRow } from '../workloads/row-plan.js'
import application from '../workloads/rows.js'
import { laidDown, operationsPerRun, type MicroCase } from './micro-case.js'

const regionBytes = 2 ** 30
const rows = laidDown(200_000)
const partitions = 1
const batch = 1
const keyBytes = 9
const scanRows = 100

function emptyStore(): Store {
  const program = programOf(application)
  const sizes = { bytes: regionBytes, isDefault: false, workers: 1, partitions, historyBytes: 0 }
  return new Store(program, Store.plan(program, sizes), 0)
}

/** A table of wide rows, and their addresses by id. */
function filledTable(): { readonly table: TableStore; readonly addresses: Int32Array } {
  const store = emptyStore()
  const table = store.tables[0] as TableStore
  const part = table.part(0)
  const addresses = new Int32Array(rows)
  for (let id = 0; id < rows; id += 1) {
    const { owner, balance, opened, branch, status, note } = wideRow(id)
    table.codec.stage([id, owner, balance, opened, branch, status, note], part.domain)
    table.key.set(id)
    part.hash.reserve(table.key.hash)
    const row = part.takeSlot()
    table.codec.copyStaged(row)
    part.hash.insert(table.key.hash, row)
    addresses[id] = row
  }
  return { table, addresses }
}

function drawnIds(): Int32Array {
  const below = randomSource(1)
  return Int32Array.from({ length: 64 * operationsPerRun }, () => below(rows))
}

/** Runs through the drawn ids, a slice at a time. */
function slices(): (use: (id: number) => number) => number {
  const ids = drawnIds()
  let at = 0
  return (use) => {
    let sum = 0
    for (let n = at; n < at + operationsPerRun; n += 1) sum += use(ids[n] as number)
    at = (at + operationsPerRun) % ids.length
    return sum
  }
}

/** Keys as an int column has them: a tag and eight bytes; spread over the whole range, and never twice. */
function writeKey(key: DataView, number: number): void {
  key.setUint32(1, Math.imul(number, 0x9e3779b1) >>> 0)
  key.setUint32(5, number)
}

interface Tree {
  readonly tree: OrderedIndex
  readonly bytes: Uint8Array
  readonly view: DataView
  add(): number
}

function emptyTree(): Tree {
  const store = emptyStore()
  const domain = store.domains[0] as Domain
  const tree = new OrderedIndex(store.region, domain, store.region.takeExtent(orderedCellWords))
  const bytes = new Uint8Array(keyBytes)
  const view = new DataView(bytes.buffer)
  let next = 0
  return {
    tree, bytes, view,
    add() {
      next += 1
      writeKey(view, next)
      tree.reserve(keyBytes)
      return tree.insert(bytes, keyBytes, next, batch)
    },
  }
}

export const storeCases: readonly MicroCase[] = [
  {
    name: `hash index: find a key of ${rows.toLocaleString('en')}`,
    prepare() {
      const { table } = filledTable()
      const part = table.part(0)
      const each = slices()
      return () => each((id) => {
        table.key.set(id)
        return part.find()
      })
    },
  },
  {
    name: 'row: read one number column',
    prepare() {
      const { table, addresses } = filledTable()
      const balance = table.codec.readers[2] as (row: number) => number
      const each = slices()
      return () => each((id) => balance(addresses[id] as number))
    },
  },
  {
    name: 'row: decode all seven columns',
    prepare() {
      const { table, addresses } = filledTable()
      const each = slices()
      return () => each((id) => table.codec.decode(addresses[id] as number)['balance'] as number)
    },
  },
  {
    name: 'B+tree: insert a random key, one batch',
    prepare() {
      const { add } = emptyTree()
      return () => {
        for (let n = 0; n < operationsPerRun; n += 1) add()
      }
    },
  },
  {
    name: `B+tree: find a key of ${rows.toLocaleString('en')}`,
    prepare() {
      const { tree, bytes, view, add } = emptyTree()
      for (let n = 0; n < rows; n += 1) add()
      const root = tree.rootNow()
      const each = slices()
      return () => each((id) => {
        writeKey(view, id + 1)
        return tree.find(root, bytes, keyBytes)
      })
    },
  },
  {
    name: `B+tree: scan ${scanRows} rows, per row`,
    prepare() {
      const { tree, bytes, view, add } = emptyTree()
      for (let n = 0; n < rows; n += 1) add()
      const root = tree.rootNow()
      const ids = drawnIds()
      const found: number[] = []
      let at = 0
      return () => {
        for (let scanned = 0; scanned < operationsPerRun; scanned += scanRows) {
          writeKey(view, (ids[at] as number) + 1)
          at = (at + 1) % ids.length
          found.length = 0
          tree.gather(root, { ...everything, from: bytes, fromLength: keyBytes }, scanRows, found)
        }
        return found.length
      }
    },
  },
]
