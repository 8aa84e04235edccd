/**
 * Random schemas, rows and queries, each query twice: as ours, and as SQL.
 *
 * Values come from small sets, so that they meet: equal keys of joins, ties of orders, nulls, texts that UTF-16 and UTF-8 sort
 * differently. Fractions are quarters, so that sums do not depend on their order.
 */
import {
  and, asc, avg, column as c, count, desc, eq, gt, gte, isNotNull, isNull, lt, lte, max, min, ne, not, oneOf, or, select, sum, table,
  type Column, type Condition, type Query, type Select, type Table, type Term,
} from 'sluicedb'
import type { Random } from '../support/random.js'

type Type = 'int' | 'i32' | 'u32' | 'f64' | 'text' | 'bool' | 'enum' | 'bigint' | 'timestamp' | 'bytes' | 'uuid'
export interface RandomColumn {
  readonly name: string
  readonly type: Type
  readonly nullable: boolean
}
export interface RandomTable {
  readonly name: string
  readonly columns: readonly RandomColumn[]
  readonly key: readonly string[]
  /** First columns of its indexes and of its key: conditions are about them more often than chance would have it. */
  readonly leading: ReadonlySet<string>
  readonly table: Table
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Names of its indexes of some rows only, and of those that are unique. */
  readonly special: readonly string[]
}

const words = ['low', 'middle', 'high'] as const
const texts = ['', 'a', 'ab', 'b', 'B', 'é', '\u{1f600}', '\uffee', 'zz', 'z\u0000', 'z\u0001']
const uuids = ['00000000-0000-4000-8000-000000000000', '00000000-0000-4000-8000-0000000000ff', 'ffffffff-0000-4000-8000-000000000001']
const values: Readonly<Record<Type, readonly unknown[]>> = {
  int: [-9_007_199_254_740_991, -3, -1, 0, 1, 2, 3, 5, 8, 9_007_199_254_740_991],
  i32: [-2_147_483_648, -2, 0, 1, 2, 7, 2_147_483_647],
  u32: [0, 1, 2, 3, 4_294_967_295],
  f64: [-2.5, -0.25, 0, 0.25, 1, 1.5, 2, 1e6],
  timestamp: [0, 1, 1_000, 1_700_000_000_000],
  text: texts,
  uuid: uuids,
  bool: [false, true],
  enum: words,
  bigint: [-4_611_686_018_427_387_904n, -1n, 0n, 1n, 2n, 4_611_686_018_427_387_903n],
  bytes: [[], [0], [0, 0], [1], [1, 2], [255]].map((bytes) => Uint8Array.from(bytes)),
}
const types = Object.keys(values) as Type[]
const numbers: ReadonlySet<Type> = new Set<Type>(['int', 'i32', 'u32', 'f64', 'timestamp'])
/** Types that can be compared with each other. */
const kindOf = (type: Type): string => (numbers.has(type) ? 'number' : type === 'uuid' ? 'text' : type)

const columnOf = ({ type, nullable }: RandomColumn): Column => {
  const plain = type === 'enum' ? c.enum(words) : (c[type]() as Column)
  return nullable ? plain.nullable() : plain
}

export function randomTable(random: Random, name: string): RandomTable {
  const columns: RandomColumn[] = Array.from({ length: 3 + random.below(5) }, (_, n) => ({ name: `${name}${n}`, type: random.pick(types), nullable: n > 1 && random.chance(0.4) }))
  const key = columns.slice(0, 1 + random.below(2)).map((one) => one.name)
  if (random.chance(0.3)) key.reverse()
  const rows = new Map<string, Record<string, unknown>>()
  const size = random.pick([0, 1, 8, 30, 60])
  for (let n = 0; n < size; n += 1) {
    const row = Object.fromEntries(columns.map((one) => [one.name, one.nullable && random.chance(0.3) ? null : random.pick(values[one.type])]))
    rows.set(key.map((column) => toText(row[column])).join('|'), row)
  }
  const kept = [...rows.values()]
  const indexes: Record<string, { readonly on: readonly string[]; readonly range: boolean; readonly unique?: boolean; readonly where?: object }> = Object.fromEntries(
    Array.from({ length: random.below(4) }, (_, n) => {
      const on = [...new Set(Array.from({ length: 1 + random.below(2) }, () => random.pick(columns).name))]
      const range = random.chance(0.6)
      if (random.chance(0.5)) return [`x${n}`, { on, range, unique: random.chance(0.7) && areUnique(kept, on) }]
      const { name: column, type, nullable } = random.pick(columns)
      return [`x${n}`, { on, range, where: { [column]: nullable && random.chance(0.3) ? null : random.pick(values[type]) } }]
    }),
  )
  const definition = { columns: Object.fromEntries(columns.map((one) => [one.name, columnOf(one)])), key, ordered: random.chance(0.6), indexes, ...(random.chance(0.2) ? { partition: 'global' } : {}) }
  const leading = new Set([key[0]!, ...Object.values(indexes).map(({ on }) => on[0]!)])
  return { name, columns, key, leading, table: table(definition as never) as unknown as Table, rows: kept, special: Object.keys(indexes).filter((index) => indexes[index]!.unique === true || indexes[index]!.where !== undefined) }
}
/** Rows with a null among the values are equal to none. */
function areUnique(rows: readonly Readonly<Record<string, unknown>>[], on: readonly string[]): boolean {
  const entries = rows.filter((row) => on.every((column) => row[column] !== null)).map((row) => on.map((column) => toText(row[column])).join('|'))
  return new Set(entries).size === entries.length
}
const toText = (value: unknown): string => (value instanceof Uint8Array ? `bytes ${value.join()}` : `${typeof value} ${String(value)}`)

/** As SQLite keeps it. */
export function toPeer(type: Type, value: unknown): unknown {
  if (value === null) return null
  if (type === 'bool') return value === true ? 1 : 0
  if (type === 'enum') return words.indexOf(value as 'low')
  if (type === 'bytes') return Buffer.from(value as Uint8Array)
  return value
}
/** As we answer it. */
function fromPeer(type: Type, value: unknown): unknown {
  if (value === null) return null
  if (type === 'bool') return Number(value) === 1
  if (type === 'enum') return words[Number(value)]
  if (type === 'bytes') return Uint8Array.from(value as Uint8Array)
  if (type === 'bigint') return BigInt(value as bigint)
  if (numbers.has(type)) return Number(value)
  return value
}

export interface RandomQuery {
  readonly query: Query<Record<string, unknown>, Record<string, unknown>>
  readonly parameters: Record<string, unknown>
  readonly sql: string
  readonly sqlValues: readonly unknown[]
  readonly isOrdered: boolean
  readonly isJoin: boolean
  /** Rows of the peer as ours. */
  readonly translate: (row: Record<string, unknown>) => Record<string, unknown>
  /** The same without its limit, and with one that is a parameter: for pages. */
  readonly pages: Query<Record<string, unknown>, Record<string, unknown>> | undefined
}

type Row = Readonly<Record<string, Term<never>>>
type Anything = Select<Row & Readonly<Record<string, Row>>, never, Record<string, unknown>>

interface Place {
  readonly of: number
  readonly column: RandomColumn
}

/** Makes one query: what is drawn is turned into both languages at once. */
export function randomQuery(random: Random, tables: readonly RandomTable[]): RandomQuery {
  const sources = random.chance(0.35) && tables.length > 1 ? [random.pick(tables), random.pick(tables)] : [random.pick(tables)]
  const isJoin = sources.length > 1
  const alias = (of: number): string => (isJoin ? `s${of}` : sources[0]!.name)
  const places: readonly Place[] = sources.flatMap((source, of) => source.columns.map((column) => ({ of, column })))
  const sqlOf = ({ of, column }: Place): string => `${alias(of)}.${column.name}`
  const termOf = ({ of, column }: Place) => (row: Anything extends Select<infer T, never, never> ? T : never): Term<never> => (isJoin ? row[`s${of}`]![column.name]! : row[column.name]!) as Term<never>
  type Make<T> = (row: never, p: Readonly<Record<string, Term<never>>>) => T

  const parameters: Record<string, unknown> = {}
  const parameterColumns: Record<string, Column> = {}
  const sqlValues: unknown[] = []
  /** A value as a literal or as a parameter. */
  const operand = (type: Type, nullable = false): Make<never> => {
    const value = nullable && random.chance(0.2) ? null : random.pick(values[type])
    sqlValues.push(toPeer(type, value))
    if (value !== null && random.chance(0.5)) return () => value as never
    const name = `p${Object.keys(parameters).length}`
    parameters[name] = value
    parameterColumns[name] = columnOf({ name, type, nullable: value === null || random.chance(0.1) })
    return (_, p) => p[name]! as never
  }

  const comparisons = { eq: [eq, '='], ne: [ne, '<>'], lt: [lt, '<'], lte: [lte, '<='], gt: [gt, '>'], gte: [gte, '>='] } as const
  const leaf = (): { readonly make: Make<Condition>; readonly sql: string } => {
    const leading = places.filter(({ of, column }) => sources[of]!.leading.has(column.name))
    const place = random.pick(random.chance(0.5) ? leading : places)
    const term = termOf(place) as Make<Term<never>>
    const draw = random.below(10)
    if (draw === 0) return random.chance(0.5) ? { make: (row, p) => isNull(term(row, p)), sql: `${sqlOf(place)} is null` } : { make: (row, p) => isNotNull(term(row, p)), sql: `${sqlOf(place)} is not null` }
    if (draw === 1) {
      const among = Array.from({ length: random.below(4) }, () => operand(place.column.type))
      return { make: (row, p) => oneOf(term(row, p), among.map((one) => one(row, p))), sql: `${sqlOf(place)} in (${among.map(() => '?').join()})` }
    }
    if (draw === 2) {
      const list = Array.from({ length: random.below(4) }, () => random.pick(values[place.column.type]))
      const name = `p${Object.keys(parameters).length}`
      if (place.column.type !== 'bytes' && place.column.type !== 'bigint') {
        parameters[name] = list
        parameterColumns[name] = c.json()
        sqlValues.push(...list.map((one) => toPeer(place.column.type, one)))
        return { make: (row, p) => oneOf(term(row, p), p[name]! as never), sql: `${sqlOf(place)} in (${list.map(() => '?').join()})` }
      }
    }
    const is = random.pick(random.chance(0.5) ? (['eq'] as const) : (Object.keys(comparisons) as (keyof typeof comparisons)[]))
    const [compare, sign] = comparisons[is]
    const others = places.filter((other) => other !== place && kindOf(other.column.type) === kindOf(place.column.type))
    if (draw === 3 && others.length > 0) {
      const other = random.pick(others)
      const otherTerm = termOf(other) as Make<Term<never>>
      return { make: (row, p) => compare(term(row, p), otherTerm(row, p)), sql: `${sqlOf(place)} ${sign} ${sqlOf(other)}` }
    }
    // Of a number also a value of another type of numbers, which the column may not be able to hold.
    const type = numbers.has(place.column.type) && random.chance(0.2) ? random.pick([...numbers]) : place.column.type
    const right = operand(type, true)
    return random.chance(0.9) || typeof right(undefined as never, {}) !== 'undefined'
      ? { make: (row, p) => compare(term(row, p), right(row, p)), sql: `${sqlOf(place)} ${sign} ?` }
      : { make: (row, p) => compare(right(row, p), term(row, p)), sql: `? ${sign} ${sqlOf(place)}` }
  }
  const condition = (depth: number): { readonly make: Make<Condition>; readonly sql: string } => {
    const draw = random.below(depth > 2 ? 4 : 10)
    if (draw < 5) return leaf()
    if (draw === 5) {
      const inner = condition(depth + 1)
      return { make: (row, p) => not(inner.make(row, p)), sql: `not (${inner.sql})` }
    }
    const all = Array.from({ length: 1 + random.below(3) }, () => condition(depth + 1))
    const [join, word] = draw < 8 ? ([and, ' and '] as const) : ([or, ' or '] as const)
    return { make: (row, p) => join(...(all.map((one) => one.make(row, p)) as [Condition])), sql: `(${all.map((one) => one.sql).join(word)})` }
  }

  // ── what is drawn ───────────────────────────────────────────────────────────────────────────────────────
  const joining: { readonly make: Make<Condition>; readonly sql: string }[] = []
  if (isJoin) {
    const left = random.pick(places.filter(({ of }) => of === 0))
    const pairs = places.filter(({ of, column }) => of === 1 && kindOf(column.type) === kindOf(left.column.type))
    const all = pairs.length > 0 ? [[left, random.pick(pairs)] as const] : []
    // Mostly by the key, so that there is a way.
    if (random.chance(0.9)) {
      all.length = 0
      for (const name of sources[1]!.key) {
        const right = places.find(({ of, column }) => of === 1 && column.name === name)!
        const fitting = places.filter(({ of, column }) => of === 0 && column.type === right.column.type)
        if (fitting.length > 0) all.push([random.pick(fitting), right])
      }
    }
    for (const [a, b] of all) {
      const [first, second] = [termOf(a) as Make<Term<never>>, termOf(b) as Make<Term<never>>]
      joining.push({ make: (row, p) => eq(first(row, p), second(row, p)), sql: `${sqlOf(a)} = ${sqlOf(b)}` })
    }
  }
  const where = [...joining, ...Array.from({ length: random.below(3) }, () => condition(0))]

  const isGrouped = random.chance(0.25)
  const groups = isGrouped ? Array.from({ length: random.below(3) }, () => random.pick(places)).filter((one, n, all) => all.indexOf(one) === n) : []
  interface Field { readonly name: string; readonly make: Make<Term<never>>; readonly sql: string; readonly type: Type }
  const aggregates: Field[] = []
  if (isGrouped) {
    for (let n = 0; n < 1 + random.below(3); n += 1) {
      const place = random.pick(places)
      const term = termOf(place) as Make<Term<never>>
      const name = `g${n}`
      const uses: Field[] = [
        { name, make: () => count() as Term<never>, sql: 'count(*)', type: 'int' },
        { name, make: (row, p) => count(term(row, p)) as Term<never>, sql: `count(${sqlOf(place)})`, type: 'int' },
        { name, make: (row, p) => min(term(row, p)) as Term<never>, sql: `min(${sqlOf(place)})`, type: place.column.type },
        { name, make: (row, p) => max(term(row, p)) as Term<never>, sql: `max(${sqlOf(place)})`, type: place.column.type },
      ]
      // The greatest values would leave 64 bits.
      if (['i32', 'u32', 'f64', 'timestamp'].includes(place.column.type)) {
        uses.push({ name, make: (row, p) => sum(term(row, p)) as Term<never>, sql: `coalesce(sum(${sqlOf(place)}), 0)`, type: place.column.type })
        uses.push({ name, make: (row, p) => avg(term(row, p)) as Term<never>, sql: `avg(${sqlOf(place)})`, type: 'f64' })
      }
      aggregates.push(random.pick(uses))
    }
  }
  const fieldOf = (place: Place, name: string): Field => ({ name, make: termOf(place) as Make<Term<never>>, sql: sqlOf(place), type: place.column.type })
  const isWhole = !isGrouped && !isJoin && random.chance(0.4)
  const fields: Field[] = isGrouped
    ? [...groups.map((place, n) => fieldOf(place, `k${n}`)), ...aggregates]
    : isWhole
      ? sources[0]!.columns.map((column) => fieldOf({ of: 0, column }, column.name))
      : Array.from({ length: 1 + random.below(4) }, (_, n) => fieldOf(random.pick(places), `f${n}`))

  const keyFields = isGrouped ? groups.map((place) => fieldOf(place, '')) : sources.flatMap((source, of) => source.key.map((name) => fieldOf({ of, column: source.columns.find((one) => one.name === name)! }, '')))
  const isOrdered = random.chance(0.6)
  const orders = isOrdered ? Array.from({ length: 1 + random.below(2) }, () => ({ field: isGrouped ? random.pick(fields) : fieldOf(random.pick(places), ''), isDescending: random.chance(0.4) })) : []
  const having = isGrouped && random.chance(0.4) ? { least: random.below(3), } : undefined
  const limit = isOrdered && random.chance(0.5) ? random.below(8) : undefined

  // ── ours ────────────────────────────────────────────────────────────────────────────────────────────────
  const from = isJoin ? Object.fromEntries(sources.map((source, of) => [alias(of), source.table])) : sources[0]!.table
  let ours = (select as unknown as (from: unknown) => Anything)(from).params(parameterColumns as never) as unknown as Anything
  for (const one of where) ours = ours.where((row, p) => one.make(row as never, p as never))
  if (isGrouped && groups.length > 0) ours = ours.groupBy((row) => groups.map((place) => termOf(place)(row as never)) as never)
  if (having !== undefined) ours = ours.having(() => gte(count(), having.least))
  const shown = (list: readonly Field[]): Anything => ours.columns((row) => Object.fromEntries(list.map((field) => [field.name, field.make(row as never, {} as never)])) as never) as unknown as Anything
  const everything = [...fields, ...orders.map(({ field }, n) => ({ ...field, name: `o${n}` })), ...keyFields.map((field, n) => ({ ...field, name: `t${n}` }))]
  const ordered = (query: Anything): Anything => (orders.length === 0 ? query : query.orderBy((row) => orders.map(({ field, isDescending }) => (isDescending ? desc : asc)(field.make(row as never, {} as never))) as never))
  const full = ordered(isWhole ? ours : shown(fields))
  const query = limit === undefined ? full : full.limit(limit)
  const pages = isOrdered ? ordered(isWhole ? ours : shown(everything)).limit(3) : undefined

  // ── SQL ─────────────────────────────────────────────────────────────────────────────────────────────────
  const ties = orders.length === 0 ? [] : keyFields.map((field) => ({ field, isDescending: orders.at(-1)!.isDescending }))
  const sql = [
    `select ${fields.map((field) => `${field.sql} as ${field.name}`).join(', ')}`,
    `from ${sources.map((source, of) => (isJoin ? `${source.name} as s${of}` : source.name)).join(', ')}`,
    ...(where.length === 0 ? [] : [`where ${where.map((one) => one.sql).join(' and ')}`]),
    ...(groups.length === 0 ? [] : [`group by ${groups.map(sqlOf).join(', ')}`]),
    ...(having === undefined ? [] : [`having count(*) >= ${having.least}`]),
    ...(orders.length === 0 ? [] : [`order by ${[...orders, ...ties].map(({ field, isDescending }) => `${field.sql}${isDescending ? ' desc' : ''}`).join(', ')}`]),
    ...(limit === undefined ? [] : [`limit ${limit}`]),
  ].join(' ')
  return {
    query: query as unknown as RandomQuery['query'],
    parameters,
    sql,
    sqlValues,
    isOrdered,
    isJoin,
    translate: (row) => Object.fromEntries(fields.map((field) => [field.name, fromPeer(field.type, row[field.name])])),
    pages: pages as unknown as RandomQuery['pages'],
  }
}
