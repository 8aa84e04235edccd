/** The list of a `oneOf`: each value once, and quick to ask. */
import { groupKey } from './values.js'

export class ValueList implements Iterable<unknown> {
  readonly #values = new Map<unknown, unknown>()

  constructor(values: readonly unknown[]) {
    for (const value of values) this.#values.set(groupKey([value]), value)
  }
  get size(): number {
    return this.#values.size
  }
  has(value: unknown): boolean {
    return this.#values.has(value instanceof Uint8Array ? groupKey([value]) : value)
  }
  [Symbol.iterator](): Iterator<unknown> {
    return this.#values.values()
  }
}
