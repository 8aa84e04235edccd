/** A table of a projection as users read it: of the color that is read when they do. */
import type { PlainRow } from '../../engine/index.js'
import type { TableReader } from '../../query/index.js'

export class LiveReader implements Iterable<PlainRow> {
  readonly #table: () => TableReader

  constructor(table: () => TableReader) {
    this.#table = table
  }

  get index(): TableReader['index'] {
    return this.#table().index
  }
  get(key: unknown): PlainRow | undefined {
    return this.#table().get(key)
  }
  has(key: unknown): boolean {
    return this.#table().has(key)
  }
  value(key: unknown, column: string): unknown {
    return this.#table().value(key, column)
  }
  count(): number {
    return this.#table().count()
  }
  scan(range?: unknown): Iterable<PlainRow> {
    return this.#table().scan(range)
  }
  [Symbol.iterator](): Iterator<PlainRow> {
    return this.#table()[Symbol.iterator]()
  }
}
