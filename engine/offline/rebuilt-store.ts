/**
 * A store made of a directory without its application: the program comes from the newest catalog, the rows from a checkpoint and
 * from frames, laid down as `open()` does it. Rows of older layouts become such of the newest.
 */
import { messageOf } from '../base/errors.js'
import { limits } from '../base/limits.js'
import type { LoggedCatalog } from '../schema/catalog.js'
import { programOf } from '../schema/catalog.js'
import { ownTablePrefix, withSequences } from '../schema/sequence-table.js'
import { outcomeTable } from '../sequencer/outcome-table.js'
import { KeyBuffer } from '../schema/key-codec.js'
import { checkStore } from '../store/check.js'
import type { PlainRow } from '../store/row-codec.js'
import { Store } from '../store/store.js'
import type { TableStore } from '../store/table-store.js'
import type { CheckpointMeta } from '../stream/checkpoint-rows.js'
import { Replay, replayBatch } from '../stream/replay.js'
import type { Checkpoint } from '../../wal/index.js'
import type { Findings } from './finding.js'

export class RebuiltStore {
  readonly catalog: LoggedCatalog
  readonly store: Store
  readonly #replay: Replay

  /** `memoryBytes`: as much as its rows had. */
  constructor(catalog: LoggedCatalog, memoryBytes: number = limits.memoryBytesMax) {
    this.catalog = catalog
    const program = programOf(catalog)
    const withSystem = { ...program, tables: [...withSequences(program.tables), outcomeTable] }
    // Only what is touched of it costs anything; a machine that refuses gets half.
    const bytes = { bytes: memoryBytes, isDefault: true }
    const plan = Store.plan(withSystem, { ...bytes, workers: 0, partitions: catalog.partitions, historyBytes: 0 })
    this.store = new Store(withSystem, plan, plan.domains)
    this.#replay = new Replay(this.store, Infinity, catalog)
  }

  /** The user's tables, by full name. */
  get tables(): readonly TableStore[] {
    return this.store.tables.filter((table) => !table.name.startsWith(ownTablePrefix))
  }

  schema(catalog: LoggedCatalog): void {
    this.#replay.schema(catalog)
  }
  frame(body: Uint8Array): void {
    this.#replay.frame(body)
  }

  /** What a checkpoint holds, into the empty store. */
  load(checkpoint: Checkpoint, meta: CheckpointMeta): void {
    this.#replay.schema(meta.catalog, meta.layouts)
    for (const block of checkpoint.blocks()) this.#replay.block(block)
  }

  /** The stored row with the key of `row`, or undefined. */
  find(table: TableStore, row: PlainRow): PlainRow | undefined {
    table.key.setFromRow(table.descriptor.columns.map((column) => row[column.name]))
    const found = table.part(table.partitionOfKey()).find()
    return found === 0 ? undefined : table.codec.decode(found)
  }

  count(table: TableStore): number {
    let count = 0
    for (let partition = 0; partition < table.partitions; partition += 1) count += table.part(partition).countNow()
    return count
  }

  /** All rows of a table, in no order. */
  *rows(table: TableStore): Generator<PlainRow, void, void> {
    for (let partition = 0; partition < table.partitions; partition += 1) {
      const addresses: number[] = []
      table.part(partition).hash.forEach((row) => void (this.store.isLive(row) && addresses.push(row)))
      for (const row of addresses) yield table.codec.decode(row)
    }
  }

  /** No more rows come: builds the indexes. */
  end(): void {
    this.#replay.end()
  }

  /** Every row in its place, in each of its indexes, once; unique indexes hold nothing twice. After `end`. */
  check(findings: Findings): void {
    try {
      checkStore(this.store, replayBatch)
    } catch (error) {
      findings.add({ part: 'index', message: messageOf(error) })
    }
    for (const table of this.tables) this.#checkUnique(table, findings)
  }

  #checkUnique(table: TableStore, findings: Findings): void {
    for (const index of table.descriptor.indexes) {
      if (!index.unique) continue
      const tree = table.trees.find((one) => one.name === index.name)!
      const seen = new Set<string>()
      for (const row of this.rows(table)) {
        const values = index.on.map((column) => row[table.descriptor.columns[column]!.name])
        if (values.includes(null)) continue
        const entry = new KeyBuffer(64)
        tree.codec.encodePrefix(values, entry)
        const text = Buffer.from(entry.bytes.buffer, entry.bytes.byteOffset, entry.length).toString('latin1')
        if (seen.has(text)) {
          findings.add({ part: 'index', table: table.name, key: keyOf(table, row), message: `another row has the same values in the unique index "${index.name}"` })
        }
        seen.add(text)
      }
    }
  }
}

export function keyOf(table: { readonly descriptor: TableStore['descriptor'] }, row: PlainRow): unknown {
  const { key, columns } = table.descriptor
  const values = key.map((column) => row[columns[column]!.name])
  return values.length === 1 ? values[0] : values
}
