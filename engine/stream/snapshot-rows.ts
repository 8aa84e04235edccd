/**
 * The rows of some tables at one moment, as commits of inserts, for a stream that begins with them.
 *
 * The view is held from the first rows that are asked for to the last ones: what comes after its batch is read from the log. Memory is
 * one commit of rows and the addresses of the rows of one partition, eight bytes each.
 */
import { limits } from '../base/limits.js'
import { endOfBatch } from '../schema/handler-ids.js'
import type { PlainRow } from '../store/row-codec.js'
import type { SnapshotView } from '../store/snapshot-view.js'
import type { TableStore } from '../store/table-store.js'
import type { DecodedChange } from './frame-decoder.js'
import type { LogPlace } from './log-follower.js'
import type { Selection, StreamFilter } from './stream-filter.js'

export interface SnapshotOptions {
  readonly view: SnapshotView
  readonly tables: readonly TableStore[]
  readonly filter: StreamFilter
  /** Of the batch of the view. */
  readonly time: number
  readonly index: number
}

export class SnapshotRows {
  readonly place: LogPlace
  readonly #options: SnapshotOptions
  readonly #changes: Iterator<DecodedChange>
  /** Read and not handed out: it tells whether a commit is the last one. */
  #ahead: IteratorResult<DecodedChange> | undefined
  #rowsBefore = 0

  constructor(options: SnapshotOptions) {
    this.#options = options
    this.place = { batch: options.view.batch, index: endOfBatch }
    this.#changes = this.#rows()
  }

  /** The next commit; undefined behind the last one. */
  next(): Selection | undefined {
    const { view, time, index } = this.#options
    const changes: DecodedChange[] = []
    let next = this.#ahead ?? this.#changes.next()
    while (next.done !== true && changes.length < limits.streamSnapshotRowsMax) {
      changes.push(next.value)
      next = this.#changes.next()
    }
    this.#ahead = next
    if (changes.length === 0) return undefined
    const snapshot = { rowsBefore: this.#rowsBefore, isLast: next.done === true }
    this.#rowsBefore += changes.length
    return {
      batch: view.batch, index, time, procedure: '', id: undefined, outcome: 0, request: 0, value: undefined, isErased: false, isCompacted: false, lost: 0, bytes: 0, changes, events: [], snapshot,
    }
  }

  close(): void {
    this.#options.view.close()
  }

  *#rows(): Generator<DecodedChange, void, void> {
    const { view, tables, filter } = this.#options
    for (const table of tables) {
      for (const after of view.allUnordered(table)) {
        if (filter.takesRow(table.name, after)) yield { kind: 'insert', table: table.name, key: keyOf(table, after), before: undefined, after }
      }
    }
  }
}

function keyOf({ descriptor: { columns, key } }: TableStore, row: PlainRow): unknown {
  return key.length === 1 ? row[columns[key[0]!]!.name] : key.map((ordinal) => row[columns[ordinal]!.name])
}
