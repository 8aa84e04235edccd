/**
 * From names to columns: a plan, and the schema it meets.
 *
 * Everything a query can be wrong about is found here, once: names, types, what a group may show. What is left is fit for planning
 * and compiling: conditions without `not`, and terms that know their slot.
 *
 * Slots: while a query runs, whatever it works with stands in one array, at places given here: parameters, constants, the columns that it
 * mentions, aggregates. Equal terms are one object with one slot.
 *
 * `not` is carried to the leaves. A leaf is true or it is not (that it may be unknown is the same as not), and without a `not` above
 * them that is all that counts: `not(eq(a, b))` is `ne(a, b)`, and both say no to null.
 */
import { limits } from '../engine/base/limits.js'
import type { ColumnDescriptor, IndexCondition, IndexDescriptor, TableDescriptor } from '../engine/index.js'
import type { Aggregation, Comparison, PlanCondition, PlanTerm, QueryPlan } from './logical-plan.js'
import { invalidQuery, isOfKind, typeOfColumn, type ValueType } from './values.js'

export interface Source {
  readonly ordinal: number
  readonly as: string
  readonly table: TableDescriptor
  /** How texts for people name it. */
  readonly name: string
}

interface Slotted {
  readonly slot: number
  readonly type: ValueType
}
export interface ColumnTerm extends Slotted {
  readonly kind: 'column'
  readonly source: number
  readonly column: number
}
export interface ParameterTerm extends Slotted {
  readonly kind: 'parameter'
  readonly parameter: string
}
export interface ConstantTerm extends Slotted {
  readonly kind: 'constant'
  readonly value: unknown
}
export interface AggregateTerm extends Slotted {
  readonly kind: 'aggregate'
  readonly use: Aggregation
  readonly of: ColumnTerm | undefined
}
export type Term = ColumnTerm | ParameterTerm | ConstantTerm | AggregateTerm

export type Condition =
  | { readonly is: Comparison; readonly left: Term; readonly right: Term }
  | { readonly is: 'oneOf' | 'noneOf'; readonly term: Term; readonly among: Term | readonly Term[] }
  | { readonly is: 'isNull' | 'isNotNull'; readonly term: Term }
  | { readonly is: 'and' | 'or'; readonly conditions: readonly Condition[] }

export interface Order {
  readonly term: Term
  readonly isDescending: boolean
}

export interface ResolvedQuery {
  readonly sources: readonly Source[]
  /** All of them hold. */
  readonly where: readonly Condition[]
  readonly isGrouped: boolean
  readonly groupBy: readonly ColumnTerm[]
  readonly aggregates: readonly AggregateTerm[]
  readonly having: readonly Condition[]
  readonly columns: readonly { readonly name: string; readonly term: Term }[]
  /** The answer has an object for each table, with these places in `columns`; else `columns` are its own. */
  readonly nested: readonly { readonly name: string; readonly columns: readonly { readonly name: string; readonly term: Term }[] }[] | undefined
  /** Total where there is any: ties are broken by the keys, in the direction of the last one that was asked for. */
  readonly orderBy: readonly Order[]
  /** How many of `orderBy` were asked for. */
  readonly ordersAsked: number
  readonly limit: number | ParameterTerm | undefined
  readonly parameters: readonly ParameterTerm[]
  readonly constants: readonly ConstantTerm[]
  readonly slots: number
}

/** An index with a `where` holds the rows that have these values, and no others. */
export function whereOf(index: IndexDescriptor): readonly IndexCondition[] {
  return index.where ?? []
}

/** R64: names of answers become properties in generated code. */
const safeName = /^(?!constructor$|prototype$)[A-Za-z][A-Za-z0-9_]{0,62}$/

const opposite: Readonly<Record<Comparison, Comparison>> = { eq: 'ne', ne: 'eq', lt: 'gte', gte: 'lt', gt: 'lte', lte: 'gt' }

/** `tables`: those of `plan.from`, in its order. */
export function resolveQuery(plan: QueryPlan, tables: readonly TableDescriptor[]): ResolvedQuery {
  return new Resolver(plan, tables).resolve()
}

class Resolver {
  readonly #plan: QueryPlan
  readonly #sources: readonly Source[]
  readonly #terms = new Map<string, Term>()
  readonly #parameters: readonly ParameterTerm[]
  #slots = 0
  #nodes = 0

  constructor(plan: QueryPlan, tables: readonly TableDescriptor[]) {
    this.#plan = plan
    if (tables.length > limits.queryTablesMax) throw invalidQuery(`A query reads at most ${limits.queryTablesMax} tables, not ${tables.length}.`)
    this.#sources = tables.map((table, ordinal) => {
      const { as } = plan.from[ordinal]!
      if (as !== '' || tables.length > 1) mustBeSafe(as)
      return { ordinal, as, table, name: as === '' ? table.name : as }
    })
    this.#parameters = plan.parameters.map((parameter) => {
      const column: ColumnDescriptor = parameter
      return { kind: 'parameter', parameter: parameter.name, slot: this.#slot(), type: typeOfColumn(column, `parameter ${parameter.name}`) }
    })
  }

  resolve(): ResolvedQuery {
    const plan = this.#plan
    const where = plan.where === undefined ? [] : conjuncts(this.#condition(plan.where, false))
    for (const condition of where) this.#mustHaveNoAggregate(condition, 'where')
    const groupBy = (plan.groupBy ?? []).map((term) => this.#groupTerm(term))
    const having = plan.having === undefined ? [] : conjuncts(this.#condition(plan.having, false))
    const columns = plan.columns?.map(({ name, term }) => ({ name: mustBeSafe(name), term: this.#term(term) }))
    if (columns?.length === 0) throw invalidQuery('A query answers at least one column.')
    const asked = (plan.orderBy ?? []).map(({ term, direction }) => ({ term: this.#comparable(this.#term(term), 'orderBy'), isDescending: direction === 'desc' }))
    const isGrouped = plan.groupBy !== undefined || [...this.#terms.values()].some((term) => term.kind === 'aggregate')
    const nested = columns === undefined && !isGrouped ? this.#wholeRows() : undefined
    const whole = nested?.flatMap((one) => one.columns)
    if (isGrouped) {
      if (columns === undefined) throw invalidQuery('A query with groups says what it answers: .columns((row) => ({ owner: row.owner, accounts: count() })).')
      for (const { name, term } of columns) mustBeOfGroup(term, groupBy, `columns has "${name}"`)
      for (const { term } of asked) mustBeOfGroup(term, groupBy, 'orderBy has a term')
      for (const term of having.flatMap((condition) => termsOf(condition))) mustBeOfGroup(term, groupBy, 'having has a term')
    } else if (plan.having !== undefined) throw invalidQuery('having is about groups: use where for rows.')
    for (const { name, term } of columns ?? []) if (term.kind !== 'column' && term.kind !== 'aggregate') throw invalidQuery(`columns has "${name}", which is neither a column nor an aggregate.`)
    const orderBy = this.#total(asked, isGrouped ? groupBy : this.#sources.flatMap(({ ordinal, table }) => table.key.map((column) => this.#column(ordinal, column))))
    const limit = this.#limit()
    const terms = [...this.#terms.values()]
    return {
      sources: this.#sources,
      where,
      isGrouped,
      groupBy,
      aggregates: terms.filter((term) => term.kind === 'aggregate'),
      having,
      columns: columns ?? whole ?? [],
      nested: nested !== undefined && this.#sources[0]!.as !== '' ? nested : undefined,
      orderBy,
      ordersAsked: asked.length,
      limit,
      parameters: this.#parameters,
      constants: terms.filter((term) => term.kind === 'constant'),
      slots: this.#slots,
    }
  }

  #slot(width = 1): number {
    this.#slots += width
    return this.#slots - width
  }

  // ── terms ─────────────────────────────────────────────────────────────────────────────────────────────

  #term(term: PlanTerm): Term {
    switch (term?.is) {
      case 'column': {
        const source = this.#sources[term.of]
        if (source === undefined) throw invalidQuery(`A column of another query was used: "${String(term.column)}".`)
        const ordinal = source.table.columns.findIndex(({ name }) => name === term.column)
        if (ordinal < 0) throw invalidQuery(`"${source.name}" has no column "${String(term.column)}"; it has ${source.table.columns.map(({ name }) => name).join(', ')}.`)
        return this.#column(term.of, ordinal)
      }
      case 'parameter': {
        const found = this.#parameters.find(({ parameter }) => parameter === term.parameter)
        if (found === undefined) throw invalidQuery(`"${String(term.parameter)}" is no parameter of this query: declare it with params() first.`)
        return found
      }
      case 'count':
      case 'sum':
      case 'min':
      case 'max':
      case 'avg':
        return this.#aggregate(term.is, term.term)
      case 'value':
      case 'bigint':
      case 'bytes':
        throw invalidQuery('A value stands alone where a column belongs: compare it with a column, with eq() and so on.')
      default:
        throw invalidQuery('Something that is no column, parameter or aggregate was used as one.')
    }
  }

  #intern<T extends Term>(key: string, make: () => T): T {
    let term = this.#terms.get(key)
    if (term === undefined) {
      term = make()
      this.#terms.set(key, term)
    }
    return term as T
  }

  #column(source: number, column: number): ColumnTerm {
    return this.#intern(`column ${source} ${column}`, () => {
      const { table, name } = this.#sources[source]!
      const descriptor = table.columns[column]!
      return { kind: 'column', source, column, slot: this.#slot(), type: typeOfColumn(descriptor, `${name}.${descriptor.name}`) }
    })
  }

  #aggregate(use: Aggregation, argument: PlanTerm | undefined): AggregateTerm {
    const of = argument === undefined ? undefined : this.#term(argument)
    if (of !== undefined && of.kind !== 'column') throw invalidQuery(`${use}() takes a column.`)
    if (of === undefined && use !== 'count') throw invalidQuery(`${use}() takes a column.`)
    const kind = of?.type.kind
    if (use !== 'count') this.#comparable(of!, `${use}()`)
    if ((use === 'sum' || use === 'avg') && kind !== 'number' && kind !== 'bigint') throw invalidQuery(`${use}(${of!.type.name}) needs numbers, and it is ${kind}.`)
    const name = `${use}(${of?.type.name ?? ''})`
    const type: ValueType =
      use === 'count' ? { kind: 'number', nullable: false, name }
      : use === 'avg' ? { kind: 'number', nullable: true, name }
      : { kind: of!.type.kind, nullable: use !== 'sum', name, ...(of!.type.words === undefined ? {} : { words: of!.type.words }) }
    // An average needs a second place, for its count.
    return this.#intern(`${use} ${of?.slot ?? ''}`, () => ({ kind: 'aggregate', use, of, slot: this.#slot(use === 'avg' ? 2 : 1), type }))
  }

  /** A constant takes the type of what it is compared with. */
  #constant(term: PlanTerm, other: ValueType): ConstantTerm | undefined {
    if (term?.is !== 'value' && term?.is !== 'bigint' && term?.is !== 'bytes') return undefined
    const value = term.is === 'value' ? term.value : term.is === 'bigint' ? BigInt(term.digits) : bytesOf(term.hex)
    const shown = term.is === 'value' ? JSON.stringify(value) : term.is === 'bigint' ? `${term.digits}n` : 'bytes'
    if (!isOfKind(other, value) || value === Infinity || value === -Infinity) {
      throw invalidQuery(`${other.name} is ${other.kind === 'enum' ? `one of ${other.words!.join(', ')}` : other.kind} and cannot be compared with ${shown}.`)
    }
    return this.#intern(`${term.is} ${other.kind} ${shown} ${term.is === 'bytes' ? term.hex : ''}`, () => ({ kind: 'constant', value: value === 0 ? 0 : value, slot: this.#slot(), type: { kind: other.kind, nullable: false, name: shown } }))
  }

  #comparable(term: Term, where: string): Term {
    if (term.type.kind === 'json') throw invalidQuery(`${where} has ${term.type.name}, which is json and has no order.`)
    return term
  }

  #groupTerm(term: PlanTerm): ColumnTerm {
    const found = this.#comparable(this.#term(term), 'groupBy')
    if (found.kind !== 'column') throw invalidQuery('groupBy takes columns.')
    return found
  }

  // ── conditions ────────────────────────────────────────────────────────────────────────────────────────

  #condition(condition: PlanCondition, isNot: boolean): Condition {
    this.#nodes += 1
    if (this.#nodes > limits.queryConditionsMax) throw invalidQuery(`A query has at most ${limits.queryConditionsMax} conditions: put long lists into oneOf().`)
    switch (condition?.is) {
      case 'and':
      case 'or': {
        if (condition.conditions.length === 0) throw invalidQuery(`${condition.is}() takes at least one condition.`)
        const conditions = condition.conditions.map((one) => this.#condition(one, isNot))
        return { is: (condition.is === 'and') === isNot ? 'or' : 'and', conditions }
      }
      case 'not':
        return this.#condition(condition.condition, !isNot)
      case 'isNull':
        return { is: isNot ? 'isNotNull' : 'isNull', term: this.#term(condition.term) }
      case 'oneOf':
        return this.#oneOf(condition.term, condition.among, isNot)
      case 'eq':
      case 'ne':
      case 'lt':
      case 'lte':
      case 'gt':
      case 'gte':
        return this.#comparison(isNot ? opposite[condition.is] : condition.is, condition.left, condition.right)
      default:
        throw invalidQuery('where and having take conditions: eq(row.owner, p.owner), and(…), or(…).')
    }
  }

  #comparison(is: Comparison, left: PlanTerm, right: PlanTerm): Condition {
    if (isConstant(left)) {
      if (isConstant(right)) throw invalidQuery(`${is}() compares two values: one side must be a column or a parameter.`)
      const term = this.#comparable(this.#term(right), is)
      return { is, left: this.#constant(left, term.type)!, right: term }
    }
    const first = this.#comparable(this.#term(left), is)
    const second = this.#constant(right, first.type) ?? this.#comparable(this.#term(right), is)
    this.#mustMatch(first.type, second.type)
    return { is, left: first, right: second }
  }

  #oneOf(planned: PlanTerm, list: PlanTerm | readonly PlanTerm[], isNot: boolean): Condition {
    const term = this.#comparable(this.#term(planned), 'oneOf')
    const is = isNot ? 'noneOf' : 'oneOf'
    if (!Array.isArray(list)) {
      const among = this.#term(list as PlanTerm)
      if (among.kind !== 'parameter' || among.type.kind !== 'json') throw invalidQuery('oneOf() takes a list, or a parameter of type json that is one.')
      return { is, term, among }
    }
    this.#nodes += list.length
    if (this.#nodes > limits.queryConditionsMax) throw invalidQuery(`oneOf() names ${list.length} values: make the list a parameter, column.json().`)
    const among = (list as readonly PlanTerm[]).map((one) => {
      const value = this.#constant(one, term.type) ?? this.#comparable(this.#term(one), 'oneOf')
      this.#mustMatch(term.type, value.type)
      return value
    })
    return { is, term, among }
  }

  #mustMatch(left: ValueType, right: ValueType): void {
    if (left.kind !== right.kind) throw invalidQuery(`${left.name} is ${left.kind} and cannot be compared with ${right.name}, which is ${right.kind}.`)
    if (left.words !== undefined && right.words !== undefined && left.words.join('\n') !== right.words.join('\n')) {
      throw invalidQuery(`${left.name} and ${right.name} are enums of different words and cannot be compared.`)
    }
  }

  #mustHaveNoAggregate(condition: Condition, where: string): void {
    if (termsOf(condition).some((term) => term.kind === 'aggregate')) throw invalidQuery(`${where} is about rows: aggregates belong into having.`)
  }

  // ── the answer ────────────────────────────────────────────────────────────────────────────────────────

  #wholeRows(): NonNullable<ResolvedQuery['nested']> {
    return this.#sources.map(({ as, ordinal, table }) => ({ name: as, columns: table.columns.map(({ name }, column) => ({ name, term: this.#column(ordinal, column) })) }))
  }

  #total(asked: readonly Order[], ties: readonly ColumnTerm[]): readonly Order[] {
    if (asked.length === 0) return []
    const { isDescending } = asked.at(-1)!
    const all = [...asked, ...ties.map((term) => ({ term, isDescending }))]
    return all.filter(({ term }, n) => all.findIndex((other) => other.term === term) === n)
  }

  #limit(): ResolvedQuery['limit'] {
    const { limit } = this.#plan
    if (limit === undefined) return undefined
    if (typeof limit === 'number') {
      if (!Number.isSafeInteger(limit) || limit < 0) throw invalidQuery(`limit is a whole number, 0 or more, not ${String(limit)}.`)
      return limit
    }
    const term = this.#term({ is: 'parameter', parameter: limit.parameter })
    if (term.kind !== 'parameter' || term.type.kind !== 'number' || term.type.nullable) throw invalidQuery(`limit takes a number, and ${term.type.name} is none.`)
    return term
  }
}

function mustBeSafe(name: string): string {
  if (typeof name === 'string' && safeName.test(name)) return name
  throw invalidQuery(`${JSON.stringify(name)} cannot be a name in the answer of a query: a name is a letter, then letters, digits or '_', at most ${limits.namesLengthMax} in all.`)
}

const isConstant = (term: PlanTerm): boolean => term?.is === 'value' || term?.is === 'bigint' || term?.is === 'bytes'

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, n) => Number.parseInt(hex.slice(n * 2, n * 2 + 2), 16))
}

function mustBeOfGroup(term: Term, groupBy: readonly ColumnTerm[], where: string): void {
  if (term.kind !== 'column' || groupBy.includes(term)) return
  throw invalidQuery(`${where}, ${term.type.name}, which differs within a group: put it into groupBy, or into min(), max(), sum() and so on.`)
}

function conjuncts(condition: Condition): readonly Condition[] {
  return condition.is === 'and' ? condition.conditions.flatMap(conjuncts) : [condition]
}

export function termsOf(condition: Condition): readonly Term[] {
  switch (condition.is) {
    case 'and':
    case 'or':
      return condition.conditions.flatMap(termsOf)
    case 'oneOf':
    case 'noneOf':
      return [condition.term, ...(Array.isArray(condition.among) ? (condition.among as readonly Term[]) : [condition.among as Term])]
    case 'isNull':
    case 'isNotNull':
      return [condition.term]
    default:
      return [condition.left, condition.right]
  }
}
