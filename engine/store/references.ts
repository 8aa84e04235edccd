/**
 * References between tables, as a thread looks them up: from a row to the one that it refers to, by key, and back, by a tree.
 *
 * The way back needs a tree whose entries begin with the referring columns, in any order, and go on with the primary key: then the rows
 * that refer to one come in the order of their keys (R22). Definitions see to it that there is one (bindings/schema/reference.ts).
 */
import { assert } from '../base/assert.js'
import type { Program } from '../schema/descriptor.js'
import type { Reference, TableStore, TreePlan } from './table-store.js'

/** Tells every table what it refers to and what refers to it, both in order of declaration; those of strength `eventual` apart. */
export function linkReferences(program: Program, tables: readonly TableStore[]): CheckedReferences {
  program.tables.forEach(({ references = [] }, ordinal) => {
    const child = tables[ordinal]!
    for (const { name, on, to, onDelete, strength } of references) {
      const parent = tables[to]!
      const tree = child.trees.find((plan) => leadsBack(plan, on))
      assert(tree !== undefined, 'a reference has a tree for its way back')
      const places = tree.columns.slice(0, on.length).map((column) => on.indexOf(column))
      let groups = 0
      for (const column of on) groups |= child.groups.ofColumn[column]!
      const reference: Reference = { name, strength, child, on, parent, onDelete, tree, places, groups }
      if (strength === 'eventual') {
        child.watched.push(reference)
        continue
      }
      child.declaredTo.push(reference)
      parent.declaredBy.push(reference)
      for (const column of on) child.referring.add(column)
    }
  })
  return new CheckedReferences(tables)
}

/**
 * Which references the transactions of a batch check when they end, on one thread: those of strength `strong`, and where the batch runs
 * again because one of strength `batch` did not hold at its end, these as well (R62). Tables change their lists; who checks knows nothing of it.
 */
export class CheckedReferences {
  /** Tables at an end of a reference of strength `batch`. */
  readonly ofBatch: readonly TableStore[]
  readonly #tables: readonly TableStore[]
  #withBatch = false

  constructor(tables: readonly TableStore[]) {
    this.#tables = tables
    for (const table of tables) {
      table.refersTo = table.declaredTo.filter(isStrong)
      table.referredBy = table.declaredBy.filter(isStrong)
    }
    this.ofBatch = tables.filter((table) => table.refersTo.length < table.declaredTo.length || table.referredBy.length < table.declaredBy.length)
  }

  /** Those of strength `batch` are among them. */
  get withBatch(): boolean {
    return this.#withBatch
  }
  set withBatch(isAsked: boolean) {
    if (isAsked === this.#withBatch) return
    this.#withBatch = isAsked
    for (const table of this.ofBatch) {
      table.refersTo = isAsked ? table.declaredTo : table.declaredTo.filter(isStrong)
      table.referredBy = isAsked ? table.declaredBy : table.declaredBy.filter(isStrong)
    }
  }

  /** For a store whose rows come in no order, and are proved when all are there. */
  checkNone(): void {
    for (const table of this.#tables) table.refersTo = table.referredBy = []
  }
}

const isStrong = ({ strength }: Reference): boolean => strength === 'strong'

function leadsBack({ columns, own, holdsEvery }: TreePlan, on: readonly number[]): boolean {
  return holdsEvery && own <= on.length && on.every((column) => columns.slice(0, on.length).includes(column))
}
