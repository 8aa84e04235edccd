/** Whose data rows and events are, and what an erasure leaves of them. */
import type { SubjectRule } from '../../engine/schema/descriptor.js'
import { checkOptions, invalidDefinition, shown } from './definition.js'
import { type LoweredColumns, ordinals } from './lower-columns.js'

/** What becomes of the rows of a subject that is erased: they go, or these columns of them become null. */
export type EraseRule<Names extends string = string> = 'delete' | { readonly columns: readonly Names[] }

/** The columns that say whose a record is. */
export function subjectColumns({ definitions }: LoweredColumns): readonly number[] {
  return definitions.flatMap((definition, ordinal) => (definition.subject === true ? [ordinal] : []))
}

export function subjectRuleOf(erase: unknown, columns: LoweredColumns, key: readonly number[], what: string): SubjectRule | undefined {
  const subject = subjectColumns(columns)
  if (subject.length === 0) {
    if (erase === undefined) return undefined
    throw invalidDefinition(`${what} says what an erasure does, and no column says whose its rows are: give one of them .subject().`)
  }
  if (erase === undefined || erase === 'delete') return { columns: subject }
  if (typeof erase !== 'object') throw invalidDefinition(`erase of ${what} is 'delete' or { columns: [...] }, not ${shown(erase)}.`)
  const named = ordinals(checkOptions(erase, `erase of ${what}`, ['columns'])['columns'], columns, `columns of erase of ${what}`)
  const blank = [...new Set([...subject, ...named])].sort((a, b) => a - b)
  for (const ordinal of blank) {
    const column = columns.columns[ordinal]!
    if (key.includes(ordinal)) throw invalidDefinition(`Column '${column.name}' is in the key of ${what}, which an erasure cannot take out of a row: let it delete the row.`)
    if (!column.nullable) throw invalidDefinition(`Column '${column.name}' of ${what} cannot be null, which an erasure makes of it: call nullable() on it, or let erase be 'delete'.`)
  }
  return { columns: subject, blank }
}
