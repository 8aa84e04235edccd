/**
 * A query that is planned and compiled, and how it runs: nested loops over the ways to the rows, then groups, order, limit.
 *
 * What a run needs stands in one array of slots of its own (resolved-query.ts): runs do not meet, not even one inside of another.
 */
import { SluiceError } from '../engine/base/errors.js'
import { limits } from '../engine/base/limits.js'
import { type ColumnDescriptor, isKeyValue, type PlainRecord } from '../engine/index.js'
import type { Access, Operand } from './access-path.js'
import {
  type Accept, beginGroup, type ComparePlaces, compileAccept, compileOrder, compileProjection, compileTest, type Project,
  type Slots, type Step, stepOf, type Test,
} from './compile-query.js'
import { type Cursor, rangesOf } from './key-ranges.js'
import type { PlanStep, QueryPath } from './planner.js'
import { type AggregateTerm, type ColumnTerm, type Condition, type ResolvedQuery, type Term, termsOf } from './resolved-query.js'
import type { ColumnAccess, RowSource, StoredRow } from './row-source.js'
import { groupKey, isOfKind } from './values.js'
import { ValueList } from './value-list.js'

/** Rows that are sorted are cut down to the limit when there are so many more of them. */
const sortedAtOnce = 1_024

export class PreparedQuery {
  readonly query: ResolvedQuery
  readonly path: QueryPath
  readonly #accept: readonly Accept[]
  /** Of the first table, for a page that does not begin at the beginning. */
  readonly #strictAccept: Accept
  readonly #having: Test | undefined
  readonly #compare: ComparePlaces | undefined
  readonly #project: Project
  readonly #steps: readonly Step[]
  readonly #template: Slots
  /** Parameters that are lists, with the term that they are compared with. */
  readonly #lists: ReadonlyMap<Term, Term>

  constructor(query: ResolvedQuery, path: QueryPath, columns: ColumnAccess) {
    this.query = query
    this.path = path
    const stored = path.steps.map((_, n) => storedColumns(query, path.steps, n))
    this.#accept = path.steps.map((step, n) => compileAccept(step, step.filter, stored[n]!, columns))
    const [first] = path.steps
    this.#strictAccept = compileAccept(first!, first!.strictFilter, stored[0]!, columns)
    this.#having = compileTest(query.having)
    this.#compare = query.orderBy.length === 0 ? undefined : compileOrder(query.orderBy)
    this.#project = compileProjection(query)
    this.#steps = query.aggregates.map(stepOf)
    this.#template = new Array<unknown>(query.slots).fill(null)
    for (const { slot, value } of query.constants) this.#template[slot] = value
    this.#lists = listsIn([...query.where, ...query.having])
  }

  /** `after`: a row of an earlier answer. */
  run(sources: readonly RowSource[], parameters: PlainRecord, after: unknown): unknown[] {
    const { query } = this
    const slots = this.#template.slice()
    for (const { slot, parameter } of query.parameters) slots[slot] = parameters[parameter]
    for (const [list, term] of this.#lists) slots[list.slot] = listOf(list, term, slots[list.slot])
    const limit = this.#limitOf(slots)
    const cursor = after === undefined ? undefined : this.#cursorOf(after, slots)
    if (limit === 0) return []
    const answer = new Answer(this.path.isOrdered ? undefined : this.#compare, limit)
    const take = (found: Slots): boolean => {
      if (cursor !== undefined && this.#compare!(found, cursor.slots) <= 0) return false
      return answer.add(found)
    }
    if (query.isGrouped) this.#runGroups(sources, slots, take)
    else this.#visit(sources, 0, slots, cursor, this.path.isLimitExact ? limit : Infinity, take)
    return answer.end().map(this.#project)
  }

  /** True: enough was found. */
  #visit(sources: readonly RowSource[], depth: number, slots: Slots, cursor: Cursor | undefined, limit: number, take: (slots: Slots) => boolean): boolean {
    const { steps } = this.path
    if (depth === steps.length) return take(slots)
    const { access, source } = steps[depth]!.path
    const start = depth === 0 && this.path.isOrdered ? cursor : undefined
    const accept = start === undefined ? this.#accept[depth]! : this.#strictAccept
    for (const row of rowsOf(sources[source.ordinal]!, access, slots, start, limit)) {
      if (accept(row, slots) && this.#visit(sources, depth + 1, slots, cursor, Infinity, take)) return true
    }
    return false
  }

  #runGroups(sources: readonly RowSource[], slots: Slots, take: (slots: Slots) => boolean): void {
    const { groupBy, aggregates } = this.query
    const groups = new Map<unknown, Slots>()
    const groupOf = (): Slots => {
      const key = groupBy.length === 0 ? '' : groupKey(groupBy.map((term) => slots[term.slot]))
      let group = groups.get(key)
      if (group === undefined) {
        group = slots.slice()
        beginGroup(aggregates, group)
        groups.set(key, group)
      }
      return group
    }
    // Without groupBy all rows are one group, also when there are none.
    if (groupBy.length === 0) groupOf()
    this.#visit(sources, 0, slots, undefined, Infinity, () => {
      const group = groupOf()
      for (const step of this.#steps) step(group, slots)
      return false
    })
    for (const group of groups.values()) {
      for (const aggregate of aggregates) endAggregate(aggregate, group)
      if ((this.#having === undefined || this.#having(group)) && take(group)) return
    }
  }

  #limitOf(slots: Slots): number {
    const { limit } = this.query
    if (limit === undefined) return Infinity
    const value = typeof limit === 'number' ? limit : (slots[limit.slot] as number)
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw invalid(`The limit of a query is a whole number, 0 or more, not ${value}.`)
  }

  /** The place of a row in the order, out of what it shows. */
  #cursorOf(after: unknown, slots: Slots): Cursor {
    const { orderBy, columns, nested } = this.query
    if (this.#compare === undefined) throw misused('A page after a row needs an order: say orderBy.')
    if (typeof after !== 'object' || after === null) throw misused('after takes the last row of the page before.')
    const at = slots.slice()
    for (const { term } of orderBy) {
      const shown = nested?.find((one) => one.columns.some((column) => column.term === term))
      const column = (shown?.columns ?? columns).find((one) => one.term === term)
      if (column === undefined) {
        throw misused(`A page after a row needs all of its order in the row, with the key, which breaks ties: ${term.type.name} is not among the columns of this query.`)
      }
      const row = shown === undefined ? after : (after as Readonly<Record<string, unknown>>)[shown.name]
      if (typeof row !== 'object' || row === null || !Object.hasOwn(row, column.name)) throw invalid(`after takes the last row of the page before, and this one has no "${column.name}".`)
      const value = (row as Readonly<Record<string, unknown>>)[column.name]
      if (!(value === null ? term.type.nullable : isOfKind(term.type, value))) throw invalid(`after takes the last row of the page before: its "${column.name}" is no ${term.type.kind}.`)
      at[term.slot] = value
    }
    return { slots: at, orderBy }
  }
}

/** What was found, in order where it was not found so, and no more than asked for. */
class Answer {
  #found: Slots[] = []
  readonly #compare: ComparePlaces | undefined
  readonly #limit: number

  constructor(compare: ComparePlaces | undefined, limit: number) {
    this.#compare = compare
    this.#limit = limit
  }

  /** True: it has all that it takes. */
  add(slots: Slots): boolean {
    this.#found.push(slots.slice())
    if (this.#compare === undefined) return this.#found.length >= this.#limit
    if (this.#found.length > this.#limit * 2 + sortedAtOnce) this.#cut()
    return false
  }
  end(): readonly Slots[] {
    this.#cut()
    return this.#found
  }
  #cut(): void {
    if (this.#compare !== undefined) this.#found.sort(this.#compare)
    if (this.#found.length > this.#limit) this.#found.length = this.#limit
  }
}

/** Columns of a step that something behind its own filter asks for. */
function storedColumns(query: ResolvedQuery, steps: readonly PlanStep[], at: number): readonly ColumnTerm[] {
  const { source } = steps[at]!.path
  const asked: (Term | undefined)[] = [
    ...query.columns.map(({ term }) => term),
    ...query.groupBy,
    ...query.aggregates.map(({ of }) => of),
    ...query.orderBy.map(({ term }) => term),
    ...steps.slice(at + 1).flatMap(({ filter, path }) => [...filter.flatMap(termsOf), ...operandTerms(path.access)]),
  ]
  return [...new Set(asked)].filter((term): term is ColumnTerm => term?.kind === 'column' && term.source === source.ordinal)
}

function operandTerms(access: Access): readonly Term[] {
  if (access.is === 'all') return []
  if (access.is !== 'range') return access.values.flatMap(termsOfOperand)
  return [...access.prefix.flatMap(termsOfOperand), ...[access.low, access.high].flatMap((bound) => (bound === undefined ? [] : [bound.term]))]
}
function termsOfOperand(operand: Operand): readonly Term[] {
  if (operand.is === 'null') return []
  if (operand.is === 'term') return [operand.term]
  return Array.isArray(operand.among) ? (operand.among as readonly Term[]) : [operand.among as Term]
}

// ── ways to rows ────────────────────────────────────────────────────────────────────────────────────────────

function rowsOf(source: RowSource, access: Access, slots: Slots, cursor: Cursor | undefined, limit: number): Iterable<StoredRow> {
  switch (access.is) {
    case 'all':
      return source.all()
    case 'key':
    case 'index': {
      const { key, columns } = source.descriptor
      const sought = (access.is === 'key' ? key : access.columns).map((ordinal) => columns[ordinal]!)
      return lookUp(source, access, sought, slots)
    }
    case 'range':
      return rangeRows(source, access, slots, cursor, limit)
  }
}

function* lookUp(source: RowSource, access: Extract<Access, { readonly is: 'key' | 'index' }>, sought: readonly ColumnDescriptor[], slots: Slots): Iterable<StoredRow> {
  const { values: operands } = access
  const listAt = operands.findIndex((operand) => operand.is === 'list')
  const values = operands.map((operand) => (operand.is === 'term' ? slots[operand.term.slot] : null))
  for (let n = 0; n < values.length; n += 1) {
    // Nothing equals null, or what the column cannot hold.
    if (operands[n]!.is === 'term' && (values[n] === null || !isKeyValue(sought[n]!, values[n]))) return
  }
  for (const one of listAt < 0 ? [undefined] : elementsOf(operands[listAt]!, slots)) {
    if (listAt >= 0) {
      if (!isKeyValue(sought[listAt]!, one)) continue
      values[listAt] = one
    }
    if (access.is === 'index') yield* source.index(access.name, [...values], access.isUnique)
    else {
      const row = source.get(values.length === 1 ? values[0] : [...values])
      if (row !== undefined && row !== 0) yield row
    }
  }
}

function elementsOf(operand: Operand, slots: Slots): Iterable<unknown> {
  const { among } = operand as Extract<Operand, { readonly is: 'list' }>
  if (!Array.isArray(among)) return slots[(among as Term).slot] as ValueList
  return new ValueList((among as readonly Term[]).map((term) => slots[term.slot]).filter((value) => value !== null))
}

function* rangeRows(source: RowSource, access: Extract<Access, { readonly is: 'range' }>, slots: Slots, cursor: Cursor | undefined, limit: number): Iterable<StoredRow> {
  const { name } = access.tree
  let left = limit
  for (const { range, mayBeCut } of rangesOf(access, source.descriptor, slots, cursor)) {
    const isCut = mayBeCut && left !== Infinity
    for (const row of source.scan(name, isCut ? { ...range, limit: left } : range)) {
      if (isCut) left -= 1
      yield row
    }
    if (left <= 0) return
  }
}

// ── lists and aggregates ────────────────────────────────────────────────────────────────────────────────────

function listsIn(conditions: readonly Condition[]): ReadonlyMap<Term, Term> {
  const lists = new Map<Term, Term>()
  for (const condition of conditions) {
    if (condition.is === 'and' || condition.is === 'or') for (const [list, term] of listsIn(condition.conditions)) lists.set(list, term)
    else if ((condition.is === 'oneOf' || condition.is === 'noneOf') && !Array.isArray(condition.among)) lists.set(condition.among as Term, condition.term)
  }
  return lists
}

function listOf(list: Term, term: Term, value: unknown): ValueList {
  if (!Array.isArray(value)) throw invalid(`${list.type.name} is compared by oneOf(): it must be a list.`)
  if (value.length > limits.queryListMax) throw invalid(`${list.type.name} has ${value.length} elements; oneOf() takes ${limits.queryListMax}.`)
  const wrong = (value as readonly unknown[]).find((one) => !isOfKind(term.type, one))
  if (wrong !== undefined || value.includes(null)) throw invalid(`${list.type.name} has an element that is no ${term.type.kind}, as ${term.type.name} is.`)
  return new ValueList(value as readonly unknown[])
}

function endAggregate({ use, of, slot, type }: AggregateTerm, group: Slots): void {
  const value = group[slot]
  if (use === 'avg') group[slot] = group[slot + 1] === 0 ? null : Number(value) / (group[slot + 1] as number)
  else if (use === 'sum' && typeof value === 'bigint' && of!.type.kind === 'number') {
    if (!Number.isSafeInteger(Number(value))) throw misused(`${type.name} is ${value}, which is no whole number of 53 bits: keep it in a column of type bigint.`)
    group[slot] = Number(value)
  }
}

const invalid = (message: string): SluiceError => SluiceError.of('INVALID_INPUT', message)
const misused = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
