/**
 * What a slow subscriber missed, with the changes of a key as one: the first `before`, the last `after`, the place of the last of all.
 *
 *   insert … update   one insert of the last row        update … delete   one delete of the first row
 *   insert … delete   nothing                           delete … insert   one update
 *
 * Its memory is bounded by keys and bytes of the rows that are kept; what comes after that is the next commit.
 */
import { limits } from '../base/limits.js'
import type { PlainRow } from '../store/row-codec.js'
import type { DecodedChange } from './frame-decoder.js'
import type { Selection } from './stream-filter.js'

interface Merged {
  readonly table: string
  readonly key: unknown
  readonly before: PlainRow | undefined
  after: PlainRow | undefined
}

export class Backlog {
  readonly #keys = new Map<string, Merged>()
  #last: Selection | undefined
  #count = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#count === 0
  }
  get isFull(): boolean {
    return this.#keys.size >= limits.streamMergedKeysMax || this.#bytes >= limits.streamBufferBytesMax
  }

  add(selection: Selection): void {
    this.#count += 1
    this.#last = selection
    const bytesOfOne = selection.changes.length === 0 ? 0 : selection.bytes / selection.changes.length
    for (const { table, key, before, after } of selection.changes) {
      const name = nameOf(table, key)
      const merged = this.#keys.get(name)
      if (merged !== undefined) merged.after = after
      else {
        this.#keys.set(name, { table, key, before, after })
        this.#bytes += bytesOfOne
      }
    }
  }

  /** All of it as one; undefined where nothing is left of it. */
  take(): Selection | undefined {
    const last = this.#last!
    const count = this.#count
    const changes = [...this.#keys.values()].flatMap(changesOf)
    const bytes = Math.round(this.#bytes)
    this.#keys.clear()
    this.#last = undefined
    this.#count = 0
    this.#bytes = 0
    if (count === 1) return last
    return changes.length === 0 ? undefined : { ...last, bytes, changes, events: [], merged: count }
  }
}

function changesOf({ table, key, before, after }: Merged): readonly DecodedChange[] {
  if (before === undefined) return after === undefined ? [] : [{ kind: 'insert', table, key, before, after }]
  return [{ kind: after === undefined ? 'delete' : 'update', table, key, before, after }]
}

const nameOf = (table: string, key: unknown): string => `${table} ${Array.isArray(key) ? key.map(textOf).join(',') : textOf(key)}`

function textOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return value instanceof Uint8Array ? `b${value.join('.')}` : `${typeof value}${String(value)}`
}
