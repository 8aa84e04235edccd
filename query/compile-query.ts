/**
 * The code of a query: what is done for each row, each group and each pair that is sorted.
 *
 * `v` is the array of slots, `r` a row of one table. Code holds slots, column numbers and `JSON.stringify`ed names (R64); constants stand in
 * slots. A column is read when the first condition asks for it, so a row that is left out costs no more than that.
 */
import type { PlanStep } from './planner.js'
import type { TableDescriptor } from '../engine/index.js'
import type { AggregateTerm, ColumnTerm, Condition, ConstantTerm, Order, ResolvedQuery, Term } from './resolved-query.js'
import { termsOf } from './resolved-query.js'
import type { ColumnAccess, StoredRow } from './row-source.js'
import { compareBytes, comparerOf } from './values.js'

export type Slots = unknown[]
/** Tests a row, and puts into slots what is needed of it later. */
export type Accept = (row: StoredRow, slots: Slots) => boolean
export type Test = (slots: Slots) => boolean
export type ComparePlaces = (left: Slots, right: Slots) => number
export type Project = (slots: Slots) => unknown

/** What a condition calls: the comparers of texts, enums and bytes. */
class Helpers {
  readonly functions: unknown[] = []
  add(helper: unknown): string {
    this.functions.push(helper)
    return `f${this.functions.length - 1}`
  }
  get names(): string[] {
    return this.functions.map((_, n) => `f${n}`)
  }
}

type Read = (term: Term) => string

function conditionCode(condition: Condition, read: Read, helpers: Helpers): string {
  switch (condition.is) {
    case 'and':
    case 'or':
      return `(${condition.conditions.map((one) => conditionCode(one, read, helpers)).join(condition.is === 'and' ? ' && ' : ' || ')})`
    case 'isNull':
      return `${read(condition.term)} === null`
    case 'isNotNull':
      return `${read(condition.term)} !== null`
    case 'oneOf':
    case 'noneOf': {
      const { term, among, is } = condition
      if (!Array.isArray(among)) {
        const list = read(among as Term)
        return is === 'oneOf' ? `${list}.has(${read(term)})` : `(${list}.size === 0 || (${read(term)} !== null && !${list}.has(${read(term)})))`
      }
      const each = (among as readonly Term[]).map((one) => comparisonCode(is === 'oneOf' ? 'eq' : 'ne', term, one, read, helpers))
      return each.length === 0 ? String(is === 'noneOf') : `(${each.join(is === 'oneOf' ? ' || ' : ' && ')})`
    }
    default:
      return comparisonCode(condition.is, condition.left, condition.right, read, helpers)
  }
}

const operators = { eq: '===', ne: '!==', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

function comparisonCode(is: keyof typeof operators, left: Term, right: Term, read: Read, helpers: Helpers): string {
  const [a, b] = [read(left), read(right)]
  const { kind } = left.type
  const isPlain = kind === 'number' || kind === 'bigint' || kind === 'bool' || (kind !== 'bytes' && (is === 'eq' || is === 'ne'))
  const test = isPlain ? `${a} ${operators[is]} ${b}` : `${helpers.add(comparerOf(left.type.words === undefined ? right.type.words === undefined ? left.type : right.type : left.type))}(${a}, ${b}) ${operators[is]} 0`
  const guards = [left, right].filter((term) => term.type.nullable).map((term) => `${read(term)} !== null`)
  // Two nulls are the only ones that `===` takes for equal.
  const needed = isPlain && is === 'eq' && guards.length < 2 ? [] : guards
  return needed.length === 0 ? test : `(${needed.join(' && ')} && ${test})`
}

const slot: Read = (term) => `v[${term.slot}]`

export function compileAccept(step: PlanStep, filter: readonly Condition[], stored: readonly ColumnTerm[], { expression, readers }: ColumnAccess): Accept {
  const { ordinal } = step.path.source
  const helpers = new Helpers()
  const lines: string[] = []
  const declared = new Set<number>()
  const isOwn = (term: Term): term is ColumnTerm => term.kind === 'column' && term.source === ordinal
  const read: Read = (term) => (isOwn(term) ? `c${term.column}` : slot(term))
  const declare = (term: Term): void => {
    if (!isOwn(term) || declared.has(term.column)) return
    declared.add(term.column)
    lines.push(`  const c${term.column} = ${expression(ordinal, term.column)}`)
  }
  for (const condition of filter) {
    for (const term of termsOf(condition)) declare(term)
    lines.push(`  if (!(${conditionCode(condition, read, helpers)})) return false`)
  }
  for (const term of stored) {
    declare(term)
    lines.push(`  ${slot(term)} = c${term.column}`)
  }
  const own = readers[ordinal]
  const prelude = own === undefined ? [] : [...declared].map((column) => `const read${ordinal}_${column} = readers[${column}]`)
  const source = [...prelude, 'return (r, v) => {', ...lines, '  return true', '}'].join('\n')
  return new Function('readers', ...helpers.names, source)(own, ...helpers.functions) as Accept
}

/** Tests plain rows: columns by name, constants in place. */
export function compileRowTest(conditions: readonly Condition[], table: TableDescriptor, constants: readonly ConstantTerm[]): (row: Readonly<Record<string, unknown>>) => boolean {
  const helpers = new Helpers()
  const read: Read = (term) => (term.kind === 'column' ? `r[${JSON.stringify(table.columns[term.column]!.name)}]` : slot(term))
  const code = conditions.map((condition) => conditionCode(condition, read, helpers)).join(' && ')
  const slots: Slots = []
  for (const { slot: at, value } of constants) slots[at] = value
  return new Function('v', ...helpers.names, `return (r) => ${code}`)(slots, ...helpers.functions) as (row: Readonly<Record<string, unknown>>) => boolean
}

export function compileTest(conditions: readonly Condition[]): Test | undefined {
  if (conditions.length === 0) return undefined
  const helpers = new Helpers()
  const code = conditions.map((condition) => conditionCode(condition, slot, helpers)).join(' && ')
  return new Function(...helpers.names, `return (v) => ${code}`)(...helpers.functions) as Test
}

export function compileOrder(orders: readonly Order[]): ComparePlaces {
  const helpers = new Helpers()
  const lines = orders.flatMap(({ term, isDescending }, n) => {
    const [a, b] = [`a[${term.slot}]`, `b[${term.slot}]`]
    const { kind } = term.type
    const isPlain = kind === 'number' || kind === 'bigint' || kind === 'bool'
    const values = isPlain ? `(${a} < ${b} ? -1 : ${a} > ${b} ? 1 : 0)` : `${helpers.add(comparerOf(term.type))}(${a}, ${b})`
    const code = term.type.nullable ? `(${a} === null ? (${b} === null ? 0 : -1) : ${b} === null ? 1 : ${values})` : values
    return [`  const d${n} = ${code}`, `  if (d${n} !== 0) return ${isDescending ? '-' : ''}d${n}`]
  })
  return new Function(...helpers.names, ['return (a, b) => {', ...lines, '  return 0', '}'].join('\n'))(...helpers.functions) as ComparePlaces
}

export function compileProjection({ columns, nested }: ResolvedQuery): Project {
  const object = (fields: ResolvedQuery['columns']): string => `{ ${fields.map(({ name, term }) => `${JSON.stringify(name)}: ${slot(term)}`).join(', ')} }`
  const code = nested === undefined ? object(columns) : `{ ${nested.map((one) => `${JSON.stringify(one.name)}: ${object(one.columns)}`).join(', ')} }`
  return new Function(`return (v) => (${code})`)() as Project
}

/** The place of the aggregates of a group that has seen no row yet. */
export function beginGroup(aggregates: readonly AggregateTerm[], group: Slots): void {
  for (const { use, of, slot: at } of aggregates) {
    group[at] = use === 'min' || use === 'max' ? null : use !== 'count' && of!.type.kind === 'bigint' ? 0n : 0
    if (use === 'avg') group[at + 1] = 0
  }
}

export type Step = (group: Slots, slots: Slots) => void

/** One row more in a group. */
export function stepOf({ use, of, slot: at }: AggregateTerm): Step {
  if (of === undefined) return (group) => void ((group[at] as number) += 1)
  const from = of.slot
  switch (use) {
    case 'count':
      return (group, slots) => void (slots[from] !== null && ((group[at] as number) += 1))
    case 'min':
    case 'max': {
      const compare = (of.type.kind === 'bytes' ? compareBytes : comparerOf(of.type)) as (left: unknown, right: unknown) => number
      const sign = use === 'min' ? 1 : -1
      return (group, slots) => {
        const value = slots[from]
        if (value !== null && (group[at] === null || sign * compare(value, group[at]) < 0)) group[at] = value
      }
    }
    default: {
      const isWhole = of.type.kind === 'number' && of.type.column!.type !== 'f64'
      return (group, slots) => {
        const value = slots[from]
        if (value === null) return
        group[at] = isWhole ? addWhole(group[at] as number | bigint, value as number) : (group[at] as number) + (value as number)
        if (use === 'avg') (group[at + 1] as number) += 1
      }
    }
  }
}

/** Whole numbers are added without rounding, whatever stands between. */
function addWhole(sum: number | bigint, value: number): number | bigint {
  if (typeof sum === 'bigint') return sum + BigInt(value)
  const next = sum + value
  return Number.isSafeInteger(next) ? next : BigInt(sum) + BigInt(value)
}
