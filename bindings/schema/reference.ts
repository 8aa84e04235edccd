/**
 * References as a table declares them, at a column or for several of its columns together, and the indexes that they need: whoever
 * deletes a row asks which others refer to it.
 */
import type { IndexDescriptor, OnDelete, ReferenceStrength } from '../../engine/schema/descriptor.js'
import { referenceOptions } from './column.js'
import { checkFunction, checkName, checkOptions, entriesOf, invalidDefinition } from './definition.js'
import { type LoweredColumns, ordinals } from './lower-columns.js'

export interface ReferenceDefinition {
  readonly name: string
  /** Ordinals of columns. */
  readonly on: readonly number[]
  readonly to: () => unknown
  readonly onDelete: OnDelete
  readonly strength: ReferenceStrength
}

/** Those of columns have the name of their column, and come first. */
export function defineReferences(references: unknown, columns: LoweredColumns, what: string): readonly ReferenceDefinition[] {
  const ofColumns = columns.columns.flatMap(({ name }, ordinal) =>
    (columns.definitions[ordinal]?.references ?? []).map((reference): ReferenceDefinition => ({ name, on: [ordinal], ...reference })),
  )
  const ofTable = entriesOf(references, `The references of ${what}`).map(([name, definition]): ReferenceDefinition => {
    checkName(name, `a reference of ${what}`)
    const reference = `reference '${name}' of ${what}`
    const { on, to, ...options } = checkOptions(definition, reference, ['on', 'to', 'onDelete', 'strength'])
    checkFunction(to, `to of ${reference}`)
    return { name, on: ordinals(on, columns, `on of ${reference}`), to: to as () => unknown, ...referenceOptions(options, reference) }
  })
  const all = [...ofColumns, ...ofTable]
  for (const [n, reference] of all.entries()) checkReference(reference, all.slice(0, n), columns, what)
  return all
}

function checkReference({ name, on, onDelete }: ReferenceDefinition, before: readonly ReferenceDefinition[], { columns }: LoweredColumns, what: string): void {
  if (before.some((other) => other.name === name))
    throw invalidDefinition(`Two references of ${what} are named '${name}' (one of a column has the name of the column): rename one, an error names them.`)
  for (const ordinal of on) {
    if (columns[ordinal]?.type === 'json')
      throw invalidDefinition(`Column '${columns[ordinal].name}' is in reference '${name}' of ${what}: it cannot be json, which is no key.`)
  }
  if (onDelete === 'setNull' && !on.every((ordinal) => columns[ordinal]?.nullable))
    throw invalidDefinition(`Reference '${name}' of ${what} says setNull: its columns must be nullable.`)
}

/** The name of an index that a reference has made for itself. No user's can have it (R64). */
export const indexNameOf = (reference: string): string => `$${reference}`

/**
 * Indexes for references that find none: its entries begin with the columns of the reference, in any order, and go on with the key. An
 * ordered primary key is one as well.
 */
export function indexesOfReferences(references: readonly ReferenceDefinition[], declared: readonly IndexDescriptor[], key: readonly number[], ordered: boolean): readonly IndexDescriptor[] {
  const made: IndexDescriptor[] = []
  for (const { name, on } of references) {
    const leads = (index: readonly number[]): boolean => index.length <= on.length && on.every((column) => [...index, ...key].slice(0, on.length).includes(column))
    if ((ordered && leads([])) || [...declared, ...made].some((index) => index.where === undefined && leads(index.on))) continue
    made.push({ name: indexNameOf(name), on, range: false, unique: false })
  }
  return made
}
