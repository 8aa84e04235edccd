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
export function linkReferences(program: Program, tables: readonly TableStore[]): void {
  program.tables.forEach(({ references = [] }, ordinal) => {
    const child = tables[ordinal]!
    for (const { name, on, to, onDelete, strength } of references) {
      if (strength === 'batch') continue
      const parent = tables[to]!
      const tree = child.trees.find((plan) => leadsBack(plan, on))
      assert(tree !== undefined, 'a reference has a tree for its way back')
      const places = tree.columns.slice(0, on.length).map((column) => on.indexOf(column))
      let groups = 0
      for (const column of on) groups |= child.groups.ofColumn[column]!
      const reference: Reference = { name, child, on, parent, onDelete, tree, places, groups }
      if (strength === 'eventual') {
        child.watched.push(reference)
        continue
      }
      child.refersTo.push(reference)
      parent.referredBy.push(reference)
      for (const column of on) child.referring.add(column)
    }
  })
}

function leadsBack({ columns, own, holdsEvery }: TreePlan, on: readonly number[]): boolean {
  return holdsEvery && own <= on.length && on.every((column) => columns.slice(0, on.length).includes(column))
}
