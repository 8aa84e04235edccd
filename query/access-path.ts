/**
 * The ways to the rows of one table, given what the conditions say about its columns and what is known when they are sought: parameters,
 * constants, and columns of the tables that come before it.
 *
 *   key     one look for the whole primary key, or some for a list (`oneOf`)
 *   index   the rows that have all values of an index
 *   range   a stretch of a tree (an ordered primary key, an index with `range`): leading columns by value, the next one between bounds
 *   all     every row, in no order: outside of transactions, for their table handles have none
 *
 * Costs are guesses: a condition keeps a fixed share of the rows. Inside of a transaction the size of a table is taken to be always the same,
 * because a plan decides which partitions are touched, and with that which lane a call runs in (R25): it must follow from the definition
 * and the schema alone.
 */
import { isKeyValue, type TableDescriptor } from '../engine/index.js'
import { type ColumnTerm, type Condition, type Order, type Source, type Term, whereOf } from './resolved-query.js'

export type Operand =
  | { readonly is: 'term'; readonly term: Term }
  | { readonly is: 'null' }
  /** Each of these in turn. */
  | { readonly is: 'list'; readonly among: Term | readonly Term[] }

export interface PathBound {
  readonly term: Term
  /** The value itself is outside. */
  readonly isOpen: boolean
}

export interface Tree {
  /** Of an index; empty for the primary key. */
  readonly name: string
  /** Ordinals: the columns of an index, then those of the key. */
  readonly columns: readonly number[]
  /** How many of them a bound may name. */
  readonly own: number
}

export type Access =
  | { readonly is: 'key'; readonly values: readonly Operand[] }
  | { readonly is: 'index'; readonly name: string; readonly columns: readonly number[]; readonly values: readonly Operand[]; readonly isUnique: boolean }
  | { readonly is: 'range'; readonly tree: Tree; readonly prefix: readonly Operand[]; readonly low: PathBound | undefined; readonly high: PathBound | undefined; readonly isReverse: boolean }
  | { readonly is: 'all' }

export interface Path {
  readonly source: Source
  readonly access: Access
  /** Conditions that it makes true by itself. */
  readonly consumed: ReadonlySet<Condition>
  /** Guessed. */
  readonly rows: number
  readonly cost: number
  /** At most one row for each row before it. */
  readonly isSingle: boolean
  /** Its rows come in the order that was asked for. */
  readonly isOrdered: boolean
}

/** What one condition says about a column of the table. */
interface Hint {
  readonly condition: Condition
  readonly column: number
  readonly is: 'eq' | 'lt' | 'lte' | 'gt' | 'gte' | 'null' | 'list'
  readonly operand: Operand
}

export interface Circumstances {
  readonly conditions: readonly Condition[]
  /** Sources before it. */
  readonly known: ReadonlySet<number>
  /** The order that the rows should come in, if that can be had. */
  readonly order: readonly Order[]
  readonly hasLimit: boolean
  readonly isInside: boolean
  /** Rows of the table, as far as known. */
  readonly size: number
}

export const sizeAssumed = 100_000
const share = { eq: 0.01, wholeIndex: 0.001, oneSided: 0.3, twoSided: 0.05 }
const partitionsAssumed = 16
/** Inside of a lane a read of all partitions makes the whole call run again, in the cross-partition lane. */
const strayCost = 200
const pageAssumed = 50
const sortCost = 0.5

const flipped = { eq: 'eq', lt: 'gt', lte: 'gte', gt: 'lt', gte: 'lte' } as const

function hintsFor({ ordinal: source, table }: Source, conditions: readonly Condition[], known: ReadonlySet<number>): readonly Hint[] {
  const isMine = (term: Term): term is ColumnTerm => term.kind === 'column' && term.source === source
  const isKnown = (term: Term): boolean => (term.kind === 'column' ? known.has(term.source) : term.kind !== 'aggregate')
  return conditions.flatMap((condition): Hint[] => {
    switch (condition.is) {
      case 'eq':
      case 'lt':
      case 'lte':
      case 'gt':
      case 'gte': {
        const { is, left, right } = condition
        if (isMine(left) && isKnown(right)) return [{ condition, column: left.column, is, operand: { is: 'term', term: right } }]
        if (isMine(right) && isKnown(left)) return [{ condition, column: right.column, is: flipped[is], operand: { is: 'term', term: left } }]
        return []
      }
      case 'isNull':
        return isMine(condition.term) && table.columns[condition.term.column]!.nullable ? [{ condition, column: condition.term.column, is: 'null', operand: { is: 'null' } }] : []
      case 'oneOf': {
        const { term, among } = condition
        const terms = Array.isArray(among) ? (among as readonly Term[]) : [among as Term]
        return isMine(term) && terms.every(isKnown) ? [{ condition, column: term.column, is: 'list', operand: { is: 'list', among } }] : []
      }
      default:
        return []
    }
  })
}

/** A partial index serves a query that asks for its rows only: it says `eq` with the very value. */
function isImplied(where: ReturnType<typeof whereOf>, hints: readonly Hint[]): boolean {
  return where.every(({ column, value }) =>
    hints.some(
      (hint) =>
        hint.column === column &&
        (value === null ? hint.is === 'null' : hint.is === 'eq' && hint.operand.is === 'term' && hint.operand.term.kind === 'constant' && hint.operand.term.value === value),
    ),
  )
}

/** All ways that there are; none where a later table is reached by nothing that comes before it. */
export function pathsTo(source: Source, circumstances: Circumstances): readonly Path[] {
  return new Paths(source, circumstances).all()
}

class Paths {
  readonly #source: Source
  readonly #table: TableDescriptor
  readonly #on: Circumstances
  readonly #hints: readonly Hint[]
  readonly #paths: Path[] = []

  constructor(source: Source, on: Circumstances) {
    this.#source = source
    this.#table = source.table
    this.#on = on
    this.#hints = hintsFor(source, on.conditions, on.known)
  }

  all(): readonly Path[] {
    const { key, indexes, ordered } = this.#table
    this.#lookUp(key, (values) => ({ is: 'key', values }), true)
    if (ordered) this.#range({ name: '', columns: key, own: key.length })
    for (const index of indexes) {
      const where = whereOf(index)
      if (!isImplied(where, this.#hints)) continue
      this.#lookUp(index.on, (values) => ({ is: 'index', name: index.name, columns: index.on, values, isUnique: index.unique }), index.unique)
      if (index.range) this.#range({ name: index.name, columns: [...index.on, ...key], own: index.on.length }, where.length > 0)
    }
    if (this.#on.known.size === 0 && !this.#on.isInside) {
      this.#add({ is: 'all' }, [], this.#on.size * 1.2, false, this.#on.order.length === 0)
    }
    return this.#paths
  }

  #hint(column: number, ...is: readonly Hint['is'][]): Hint | undefined {
    for (const one of is) {
      const hint = this.#hints.find((it) => it.column === column && it.is === one)
      if (hint !== undefined) return hint
    }
    return undefined
  }

  /** By all columns of a key or an index; one of them may be a list. */
  #lookUp(columns: readonly number[], access: (values: readonly Operand[]) => Access, isUnique: boolean): void {
    const hints: Hint[] = []
    let lists = 0
    for (const column of columns) {
      const hint = this.#hint(column, 'eq', ...(isUnique ? [] : ['null' as const]), ...(lists === 0 ? ['list' as const] : []))
      if (hint === undefined) return
      if (hint.is === 'list') lists += 1
      hints.push(hint)
    }
    const each = isUnique ? 1 : Math.max(1, this.#on.size * share.wholeIndex * 0.1 ** (columns.length - 1))
    const isSingle = isUnique && lists === 0
    const isOrdered = isSingle || (lists === 0 && this.#isInOrder({ name: '', columns: [...columns, ...this.#table.key], own: columns.length }, hints, false))
    this.#add(access(hints.map((hint) => hint.operand)), hints, each * (lists === 0 ? 1 : 10), isSingle, isOrdered)
  }

  /** `isPart`: the index has some of the rows only. */
  #range(tree: Tree, isPart = false): void {
    const hints: Hint[] = []
    for (const column of tree.columns.slice(0, tree.own)) {
      const hint = this.#hint(column, 'eq', 'null')
      if (hint === undefined) break
      hints.push(hint)
    }
    if (this.#on.known.size > 0 && hints.length === 0) return
    const next = hints.length < tree.own ? tree.columns[hints.length] : undefined
    const low = next === undefined ? undefined : this.#hint(next, 'gte', 'gt')
    const high = next === undefined ? undefined : this.#hint(next, 'lt', 'lte')
    const consumed = [...hints]
    // Null stands below all values: an upper bound alone would let it in.
    const isNullSafe = next !== undefined && (!this.#table.columns[next]!.nullable || (low !== undefined && this.#isExact(low)))
    if (low !== undefined && (low.is === 'gte' || hints.length + 1 === tree.own) && this.#isExact(low)) consumed.push(low)
    if (high !== undefined && isNullSafe && this.#isExact(high)) consumed.push(high)
    const part = low !== undefined && high !== undefined ? share.twoSided : low !== undefined || high !== undefined ? share.oneSided : 1
    const all = this.#on.size * (isPart ? 0.5 : 1)
    const rows = Math.max(1, all * share.eq ** hints.length * part)
    const isWhole = hints.length === 0 && low === undefined && high === undefined
    const bound = (hint: Hint | undefined): PathBound | undefined =>
      hint === undefined ? undefined : { term: (hint.operand as { readonly term: Term }).term, isOpen: hint.is === 'gt' || hint.is === 'lt' }
    const prefix = hints.map((hint) => hint.operand)
    for (const isReverse of [false, true]) {
      const isOrdered = this.#isInOrder(tree, hints, isReverse)
      // A whole tree is read for its order, or where a transaction has no other way to all rows.
      if (isReverse && !isOrdered) continue
      this.#add({ is: 'range', tree, prefix, low: bound(low), high: bound(high), isReverse }, consumed, isWhole ? rows * 1.3 : rows, false, isOrdered)
    }
  }

  /** Its bound is surely a value of the column, so that the tree can be asked for it. */
  #isExact({ column, operand }: Hint): boolean {
    if (operand.is !== 'term') return false
    const { term } = operand
    const stored = this.#table.columns[column]!
    return term.kind === 'constant' ? isKeyValue(stored, term.value) : term.type.column?.type === stored.type && !term.type.nullable
  }

  /** The order that was asked for is the order of the tree behind the columns that have one value. */
  #isInOrder(tree: Tree, fixed: readonly Hint[], isReverse: boolean): boolean {
    const { order } = this.#on
    if (order.length === 0) return true
    const isFixed = (column: number): boolean => this.#hints.some((hint) => hint.column === column && hint.is === 'eq') || fixed.some((hint) => hint.column === column)
    const mine = order.filter(({ term }) => !(term.kind === 'column' && term.source === this.#source.ordinal && isFixed(term.column)))
    const behind = tree.columns.slice(fixed.length).filter((column, n, all) => all.indexOf(column) === n && !isFixed(column))
    for (let n = 0; n < behind.length; n += 1) {
      const one = mine[n]
      if (one === undefined) return true
      const { term, isDescending } = one
      if (term.kind !== 'column' || term.source !== this.#source.ordinal || term.column !== behind[n] || isDescending !== isReverse) return false
    }
    // The key of the table is complete: what is left of the order belongs to tables that come after it.
    return mine.slice(behind.length).every(({ term }) => term.kind === 'column' && term.source !== this.#source.ordinal)
  }

  #add(access: Access, hints: readonly Hint[], rows: number, isSingle: boolean, isOrdered: boolean): void {
    const { isInside, hasLimit, order, known } = this.#on
    const isAnswered = hasLimit && isOrdered && known.size === 0
    const read = isAnswered ? Math.min(rows, pageAssumed) : rows
    const sort = order.length > 0 && !isOrdered && known.size === 0 ? rows * sortCost : 0
    const spread = this.#fixesPartition(access) ? 0 : isInside ? strayCost : partitionsAssumed
    const consumed = new Set(hints.map((hint) => hint.condition))
    this.#paths.push({ source: this.#source, access, consumed, rows, cost: 1 + read + sort + spread, isSingle, isOrdered })
  }

  /** Every look that it takes is at one partition. */
  #fixesPartition(access: Access): boolean {
    const { partition, key } = this.#table
    if (partition === 'global' || access.is === 'key') return true
    if (access.is === 'all') return false
    const columns = access.is === 'index' ? [...access.columns, ...key] : access.tree.columns
    const fixed = access.is === 'index' ? access.columns.length : access.prefix.length
    return partition.every((column) => columns.slice(0, fixed).includes(column))
  }
}
