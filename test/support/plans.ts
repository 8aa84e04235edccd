/**
 * Random plans for the model tests: what to call, in which grouping, and what to look at in between. A plan
 * is plain data; the same seed gives the same plan. The generator runs the model along, only to aim: most
 * keys it picks exist when they should, so most transactions commit and the rest fail for one reason.
 */
import { tableSpecs, type ColumnSpec, type TableSpec } from './apps/model-schema.js'
import type { Op, Range, Script } from './apps/script.js'
import { bare, emptyState, keyOf, runOn, type Row, type State } from './model.js'
import type { Random } from './random.js'

export interface Call {
  /** Also the key of its row in the journal, when it may write. */
  readonly n: number
  /** The partition it declares; without it, the cross-partition lane. */
  readonly at: string | null
  readonly writes: boolean
  readonly script: Script
}
export type Step =
  | { readonly kind: 'batch' | 'serial'; readonly calls: readonly Call[] }
  | { readonly kind: 'hold' | 'release' | 'past' | 'check' | 'reopen' }
export type Plan = readonly Step[]

const places = ['a', 'b', 'c', 'd', 'é', '☂']
const texts = [
  '',
  'a',
  'ab',
  'b',
  'é',
  'z',
  'ｚ',
  '😀',
  '☂',
  '\u0000',
  'a\u0000',
  'a\u0000b',
  'x'.repeat(41),
  `${'y'.repeat(300)}1`,
  `${'y'.repeat(300)}2`,
]
const names = [
  'ann',
  'ab',
  'abc',
  'bob',
  'Ünal',
  'ｚ',
  '😀😀',
  'constructor',
  '__proto__',
  `${'n'.repeat(150)}1`,
  `${'n'.repeat(150)}2`,
]
const blobs = [
  '',
  '00',
  '0000',
  'ff',
  '010203',
  'ab'.repeat(40),
  'cd'.repeat(300),
  `${'cd'.repeat(300)}00`,
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))
const uuids = [
  '00000000-0000-0000-0000-000000000000',
  '0b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11',
  '7b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
]
const documents = [
  { a: 1 },
  [1, [2, { b: 'é' }]],
  'text',
  5,
  -0.5,
  true,
  { deep: { x: [null, '☂', false] } },
  [],
  {},
  { big: 12345678901234567890n },
  { bytes: blobs[4] },
]
const pools: Readonly<Record<ColumnSpec['type'], readonly unknown[]>> = {
  bool: [true, false],
  i32: [0, 1, -1, 7, 42, 2 ** 31 - 1, -(2 ** 31)],
  u32: [0, 1, 7, 2 ** 31, 2 ** 32 - 1],
  int: [0, 1, -1, 42, 2 ** 32, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  f64: [0, -0, 0.1, 1.5, -1.5, 1e-300, Number.MIN_VALUE, Number.MAX_VALUE, -1e200],
  bigint: [0n, 1n, -1n, 7n, 2n ** 53n + 1n, 2n ** 62n, -(2n ** 62n)],
  text: texts,
  bytes: blobs,
  json: documents,
  timestamp: [0, 1, -1, 1_700_000_000_000, 8_640_000_000_000_000],
  uuid: uuids,
  enum: ['calm', 'glad', 'sad'],
}
/** Of each type one that must be refused. Null is added where the column is not nullable. */
const wrong: Readonly<Record<ColumnSpec['type'], readonly unknown[]>> = {
  bool: [0, 'true'],
  i32: [2 ** 31, -(2 ** 31) - 1, 0.5, '1', 1n],
  u32: [-1, 2 ** 32, 0.5],
  int: [2 ** 53, 0.5, '1', 1n],
  f64: ['1', 1n, true],
  bigint: [1, '1'],
  text: [1, true, {}],
  bytes: ['00', [0]],
  json: [],
  timestamp: ['2020', true],
  uuid: ['nope', '', 1],
  enum: ['cross', '', 'constructor', 1],
}

const moodsOfAPlan = { calls: [1, 14], ops: [1, 7] } as const

export function planOf(random: Random, shape: { steps: number; reopen: boolean }): Plan {
  const maker = new PlanMaker(random)
  return Array.from({ length: shape.steps }, (): Step => {
    const die = random.below(100)
    if (die < 52) return { kind: 'batch', calls: maker.calls() }
    if (die < 68) return { kind: 'serial', calls: maker.calls() }
    if (die < 76) return { kind: 'hold' }
    if (die < 79) return { kind: 'release' }
    if (die < 87) return { kind: 'past' }
    if (die < 93 || !shape.reopen) return { kind: 'check' }
    return { kind: 'reopen' }
  })
}

class PlanMaker {
  readonly #random: Random
  #state: State = emptyState
  #n = 0

  constructor(random: Random) {
    this.#random = random
  }

  calls(): Call[] {
    const [low, high] = moodsOfAPlan.calls
    return Array.from({ length: low + this.#random.below(high - low) }, () => this.#call())
  }

  #call(): Call {
    const random = this.#random
    this.#n += 1
    const n = this.#n
    const at = random.chance(0.6) ? random.pick(places) : null
    const writes = random.chance(0.85)
    const [low, high] = moodsOfAPlan.ops
    const length = random.chance(0.03) ? 40 : low + random.below(high - low)
    const ops = Array.from({ length }, () => this.#op(at, writes, 0))
    if (writes) {
      const entry: Op = { op: 'insert', table: 'journal', row: { place: at ?? random.pick(places), n } }
      if (random.chance(0.5)) ops.push(entry)
      else ops.unshift(entry)
    }
    if (random.chance(0.04)) ops.push({ op: 'abort', reason: 'UNWANTED', details: { n, why: 'é' } })
    if (random.chance(0.03))
      ops.push({ op: 'throw', what: random.pick(['error', 'undefined', 'text', 'frozen'] as const) })
    const outcome = runOn(this.#state, ops)
    if (outcome.ok) this.#state = outcome.state
    return { n, at, writes, script: ops }
  }

  #op(at: string | null, writes: boolean, depth: number): Op {
    const random = this.#random
    if (depth === 0 && random.chance(0.06)) {
      const script = Array.from({ length: 1 + random.below(3) }, () => this.#op(at, writes, 1))
      return { op: 'try', script: random.chance(0.5) ? [...script, { op: 'throw', what: 'error' }] : script }
    }
    if (writes && random.chance(0.05)) return { op: 'call', script: this.#side(at) }
    if (writes && random.chance(0.04)) {
      this.#n += 1
      const extra = random.chance(0.3) ? { extra: random.pick(documents) } : {}
      return {
        op: 'emit',
        payload: {
          place: at ?? random.pick(places),
          n: this.#n,
          ...extra,
          ...(random.chance(0.15) && { fail: true }),
        },
      }
    }
    const table = random.pick(['thing', 'thing', 'pair', 'pair', 'pair', 'every', 'world', 'long'])
    return writes && random.chance(0.55) ? this.#write(table, at) : this.#read(table, at)
  }

  /** Operations on the other service's table. */
  #side(at: string | null): Script {
    this.#n += 1
    const place = at ?? this.#random.pick(places)
    const row = { place, n: this.#random.chance(0.1) ? 1 : this.#n, text: this.#random.pick(texts) }
    return [
      { op: 'insert', table: 'note', row },
      { op: 'scan', table: 'note', range: { prefix: [place], limit: 5 } },
    ]
  }

  #write(table: string, at: string | null): Op {
    const random = this.#random
    const spec = tableSpecs[`main.${table}`]!
    const die = random.below(100)
    const broken = random.chance(0.01)
    if (die < 14) return { op: 'insert', table, row: this.#row(table, at, 0.04, broken) }
    if (die < 56) return { op: 'put', table, row: this.#row(table, at, 0.3, broken) }
    if (die < 63)
      return { op: 'update', table, key: this.#key(table, at, 0.98), patch: this.#patch(spec, broken) }
    if (die < 67)
      return { op: 'updateBy', table, key: this.#key(table, at, 0.98), patch: this.#patch(spec, broken) }
    if (die < 75)
      return { op: 'set', table, key: this.#key(table, at, 0.9), columns: this.#patch(spec, broken) }
    if (die < 82) return { op: 'add', table, key: this.#key(table, at, 0.98), deltas: this.#deltas(spec) }
    if (die < 90) return { op: 'delete', table, key: this.#key(table, at, 0.8) }
    if (table !== 'pair') return { op: 'put', table, row: this.#row(table, at, 0.1, broken) }
    const place = at ?? random.pick(places)
    const drop = random.chance(0.5) ? [place, random.below(8) - 2] : null
    if (die < 94)
      return {
        op: 'sweep',
        table,
        range: { prefix: [place] },
        column: 'score',
        by: 1 + random.below(3),
        drop,
      }
    if (die < 98)
      return {
        op: 'shift',
        table,
        index: 'byPlaceRank',
        values: this.#valuesOf(table, ['place', 'rank'], at),
        column: 'rank',
        to: random.below(4),
      }
    return { op: 'clear', table, range: { prefix: [place], limit: 2 } }
  }

  #read(table: string, at: string | null): Op {
    const random = this.#random
    const spec = tableSpecs[`main.${table}`]!
    const die = random.below(100)
    if (die < 20) return { op: 'get', table, key: this.#key(table, at, 0.8) }
    if (die < 30) return { op: 'has', table, key: this.#key(table, at, 0.6) }
    if (die < 45) return { op: 'row', table, key: this.#key(table, at, 0.8) }
    if (die < 65 && spec.ordered)
      return {
        op: random.chance(0.6) ? 'scan' : 'rows',
        table,
        range: this.#range(table, spec.key, at, false),
      }
    const indexes = Object.entries(spec.indexes ?? {})
    if (indexes.length === 0) return { op: 'get', table, key: this.#key(table, at, 0.8) }
    const [index, { on, range }] = random.pick(indexes)
    if (range && random.chance(0.5))
      return { op: 'search', table, index, range: this.#range(table, on, at, true) }
    return {
      op: random.chance(0.6) ? 'find' : 'findRows',
      table,
      index,
      values: bare(this.#valuesOf(table, on, at)),
    }
  }

  /** Values for `on`: usually those of a row that exists. */
  #valuesOf(table: string, on: readonly string[], at: string | null): unknown[] {
    const row = this.#random.chance(0.8) ? this.#some(table, at) : undefined
    const made = row ?? this.#row(table, at, 0, false)
    const spec = tableSpecs[`main.${table}`]!
    return on.map((name) => made[name] ?? (spec.columns[name]!.nullable ? null : spec.columns[name]!.default))
  }

  #range(table: string, on: readonly string[], at: string | null, secondary: boolean): Range {
    const random = this.#random
    const range: Record<string, unknown> = {}
    const bound = () => {
      const values = this.#valuesOf(table, on, at)
      return on.length === 1 ? values[0] : values.slice(0, 1 + random.below(on.length))
    }
    if (on.length > 1 && random.chance(0.5)) {
      const values = this.#valuesOf(table, on, at)
      range['prefix'] = values.slice(0, 1 + random.below(on.length - 1))
      if (random.chance(0.4))
        range['from'] = [
          ...(range['prefix'] as unknown[]),
          ...this.#valuesOf(table, on, at).slice((range['prefix'] as unknown[]).length),
        ]
    } else {
      if (random.chance(0.5)) range['from'] = bound()
      if (random.chance(0.5)) range['to'] = bound()
    }
    if (random.chance(0.3)) range['limit'] = 1 + random.below(4)
    if (random.chance(0.35)) range['reverse'] = true
    else if (!secondary && range['from'] === undefined && random.chance(0.2))
      range['after'] = bare(this.#valuesOf(table, on, at))
    return range
  }

  #some(table: string, at: string | null): Row | undefined {
    const rows = [...this.#state[`main.${table}`]!.values()]
    const here =
      at === null || this.#random.chance(0.2)
        ? rows
        : rows.filter((row) => row['place'] === undefined || row['place'] === at)
    return here.length === 0 ? undefined : this.#random.pick(here)
  }

  #key(table: string, at: string | null, existing: number): unknown {
    const spec = tableSpecs[`main.${table}`]!
    const row = this.#random.chance(existing) ? this.#some(table, at) : undefined
    return bare(keyOf(spec, row ?? (this.#row(table, at, 0, false) as Row)))
  }

  #row(table: string, at: string | null, existing: number, broken: boolean): Record<string, unknown> {
    const random = this.#random
    const spec = tableSpecs[`main.${table}`]!
    const row: Record<string, unknown> = {}
    for (const [name, column] of Object.entries(spec.columns)) {
      const optional = column.nullable === true || 'default' in column
      if (!optional || random.chance(0.6)) row[name] = this.#value(column)
    }
    if (table === 'thing') row['id'] = random.below(24)
    if (table === 'thing') row['name'] = random.pick(names)
    if (table === 'pair')
      Object.assign(row, {
        place: random.chance(0.85) && at !== null ? at : random.pick(places),
        day: random.below(8) - 2,
        title: random.pick(names),
      })
    if (table === 'pair')
      Object.assign(row, { rank: random.chance(0.2) ? null : random.below(4), score: random.below(100) })
    if (table === 'world') row['name'] = `w${random.below(5)}`
    if (table === 'long')
      Object.assign(row, {
        id: `l${random.below(5)}`,
        ...(random.chance(0.3) && { body: random.pick(['é', 'z', '😀']).repeat(random.below(9_000)) }),
      })
    const found = random.chance(existing) ? this.#some(table, at) : undefined
    if (found) for (const name of spec.key) row[name] = found[name]
    if (broken) Object.assign(row, this.#broken(spec))
    return row
  }

  #patch(spec: TableSpec, broken: boolean): Record<string, unknown> {
    const random = this.#random
    const free = Object.keys(spec.columns).filter((name) => !spec.key.includes(name))
    const chosen = Array.from({ length: 1 + random.below(3) }, () => random.pick(free))
    const patch = Object.fromEntries(chosen.map((name) => [name, this.#value(spec.columns[name]!)]))
    return broken ? { ...patch, ...this.#broken(spec) } : patch
  }

  #deltas(spec: TableSpec): Record<string, unknown> {
    const random = this.#random
    const addable = Object.entries(spec.columns).filter(
      ([name, it]) =>
        ['i32', 'u32', 'int', 'f64', 'bigint'].includes(it.type) && !it.nullable && !spec.key.includes(name),
    )
    if (addable.length === 0) return {}
    const [name, column] = random.pick(addable)
    const amount = random.below(9) - (random.chance(0.1) ? 6 : 2)
    return { [name]: column.type === 'bigint' ? BigInt(amount) : column.type === 'f64' ? amount / 8 : amount }
  }

  #value(column: ColumnSpec): unknown {
    const random = this.#random
    if (column.nullable && random.chance(0.25)) return null
    if (column.maxLength !== undefined) return random.pick(names)
    if (column.max !== undefined) return random.below(100)
    return random.pick(pools[column.type])
  }

  #broken(spec: TableSpec): Record<string, unknown> {
    const random = this.#random
    const free = Object.entries(spec.columns).filter(
      ([name, it]) => !spec.key.includes(name) && it.type !== 'json',
    )
    const [name, column] = random.pick(free)
    if (column.min !== undefined && random.chance(0.5)) return { [name]: column.min - 1 }
    if (column.notBlank && random.chance(0.5)) return { [name]: ' ' }
    return { [name]: column.nullable || random.chance(0.8) ? random.pick(wrong[column.type]) : null }
  }
}
