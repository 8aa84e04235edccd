/**
 * Procedures that misbehave in every way a procedure can, and tables that say what they refuse. Used by the
 * tests of bad input.
 */
import { app, column as c, service, table, type TxOf } from 'sluicedb'

export const kinds = [
  'bool',
  'i32',
  'u32',
  'int',
  'f64',
  'bigint',
  'text',
  'bytes',
  'json',
  'timestamp',
  'uuid',
  'enum',
] as const
export type Kind = (typeof kinds)[number]

/** One column of each type, each nullable, so that a row may hold any one of them. */
const sample = table({
  columns: {
    id: c.int(),
    bool: c.bool().nullable(),
    i32: c.i32().nullable(),
    u32: c.u32().nullable(),
    int: c.int().nullable(),
    f64: c.f64().nullable(),
    bigint: c.bigint().nullable(),
    text: c.text().nullable(),
    bytes: c.bytes().nullable(),
    json: c.json().nullable(),
    timestamp: c.timestamp().nullable(),
    uuid: c.uuid().nullable(),
    enum: c.enum(['one', 'two']).nullable(),
  },
  key: ['id'],
})

const limited = table({
  columns: {
    id: c.int(),
    least: c.int().min(3).default(5),
    most: c.f64().max(1.5).default(0),
    above: c.i32().positive().default(1),
    big: c.bigint().min(-2n).max(2n).default(0n),
    said: c.text().notBlank().default('x'),
    short: c.text().maxLength(4).default(''),
    shaped: c
      .text()
      .pattern(/^[a-z]+-\d+$/)
      .default('a-1'),
    even: c
      .int()
      .check((value) => value % 2 === 0, 'even')
      .default(0),
  },
  key: ['id'],
  indexes: { byLeast: { on: ['least'], range: true } },
})

const pair = table({
  columns: { left: c.text(), right: c.int(), note: c.text().nullable() },
  key: ['left', 'right'],
  ordered: true,
  indexes: { byNote: { on: ['note'] } },
})

export const odd = service('odd', {
  tables: { sample, limited, pair },
  events: {
    happened: {
      bool: c.bool().nullable(),
      i32: c.i32().nullable(),
      text: c.text().nullable(),
      json: c.json().nullable(),
    },
  },
})

/** Nothing to see: proves that the database still works. */
export const ping = odd.procedure('ping', { input: { n: c.int().default(1) } }, (_, it) => it.n + 1)

/** Declares every type as input. What was taken is returned. */
export const echo = odd.procedure(
  'echo',
  {
    input: {
      bool: c.bool().nullable(),
      i32: c.i32().nullable(),
      u32: c.u32().nullable(),
      int: c.int().nullable(),
      f64: c.f64().nullable(),
      bigint: c.bigint().nullable(),
      text: c.text().nullable(),
      bytes: c.bytes().nullable(),
      json: c.json().nullable(),
      timestamp: c.timestamp().nullable(),
      uuid: c.uuid().nullable(),
      enum: c.enum(['one', 'two']).nullable(),
    },
  },
  (_, it) => ({ ...it }),
)

export const strict = odd.procedure(
  'strict',
  { input: { name: c.text(), n: c.int().min(1), mood: c.enum(['up', 'down']).default('up') } },
  (_, it) => ({ ...it }),
)

export class Point {
  x = 1
  y = 2
}
function cycle(): unknown {
  const circle: { self?: unknown } = {}
  circle.self = circle
  return circle
}
function deep(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = [value]
  return value
}

/** By column type: values that the type refuses. Made here, because most of them cannot travel as input. */
export const wrongValues: Readonly<Record<Kind, Readonly<Record<string, () => unknown>>>> = {
  bool: { zero: () => 0, one: () => 1, text: () => 'true', list: () => [], object: () => new Boolean(true) },
  i32: {
    over: () => 2 ** 31,
    under: () => -(2 ** 31) - 1,
    fraction: () => 1.5,
    nan: () => NaN,
    infinite: () => Infinity,
    text: () => '1',
    bigint: () => 1n,
    bool: () => true,
  },
  u32: {
    over: () => 2 ** 32,
    under: () => -1,
    fraction: () => 0.5,
    nan: () => NaN,
    infinite: () => Infinity,
    text: () => '1',
    bigint: () => 1n,
  },
  int: {
    over: () => 2 ** 53,
    under: () => -(2 ** 53),
    fraction: () => 1.5,
    nan: () => NaN,
    infinite: () => -Infinity,
    text: () => '1',
    bigint: () => 1n,
    object: () => new Number(1),
  },
  f64: {
    nan: () => NaN,
    text: () => '1.5',
    bigint: () => 1n,
    bool: () => false,
    object: () => ({ valueOf: () => 1 }),
  },
  bigint: { number: () => 1, text: () => '1', bool: () => true },
  text: {
    number: () => 1,
    high: () => 'a\ud800',
    low: () => '\udc00b',
    swapped: () => '\udc00\ud800',
    list: () => ['a'],
    object: () => new String('a'),
    bytes: () => new Uint8Array(1),
  },
  bytes: {
    text: () => 'ab',
    list: () => [1, 2],
    buffer: () => new ArrayBuffer(2),
    wide: () => new Uint16Array(1),
    view: () => new DataView(new ArrayBuffer(2)),
    lookalike: () => ({ length: 1, 0: 1 }),
  },
  json: {
    function: () => () => 1,
    symbol: () => Symbol('x'),
    inside: () => ({ a: [() => 1] }),
    point: () => new Point(),
    cycle,
    nan: () => ({ n: NaN }),
    map: () => new Map([['a', 1]]),
    set: () => new Set([1]),
    promise: () => ({ p: Promise.resolve() }),
    error: () => new Error('x'),
    surrogate: () => ({ text: '\ud83d' }),
    surrogateName: () => ({ '\ud83d': 1 }),
    getter: () => ({
      get boom() {
        throw new Error('boom')
      },
    }),
    proxy: () =>
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('boom')
          },
        },
      ),
    bottomless: () => deep(200_000),
  },
  timestamp: { text: () => '2020-01-01', nan: () => NaN, infinite: () => Infinity, bigint: () => 1n },
  uuid: {
    short: () => '1234',
    empty: () => '',
    number: () => 1,
    shape: () => 'zzzzzzzz-7f0e-4c2c-9d53-0a5b8d2f1e11',
    long: () => '0b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e111',
    newline: () => '0b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11\n',
  },
  enum: {
    other: () => 'three',
    empty: () => '',
    case: () => 'One',
    number: () => 0,
    inherited: () => 'constructor',
    proto: () => '__proto__',
    list: () => ['one'],
  },
}

/** One write of a wrong value by each way of writing. A row 0 exists. */
export const writeWrong = odd.procedure(
  'writeWrong',
  { input: { by: c.text(), kind: c.text(), name: c.text(), swallow: c.bool() } },
  (tx, it) => {
    const value = wrongValues[it.kind as Kind][it.name]!()
    const table = tx.db.sample as unknown as LooseTable
    const attempt = () => {
      if (it.by === 'insert') table.insert({ id: 1, [it.kind]: value })
      else if (it.by === 'put') table.put({ id: 0, [it.kind]: value })
      else if (it.by === 'update') table.update(0, { [it.kind]: value })
      else if (it.by === 'updateBy') table.update(0, () => ({ [it.kind]: value }))
      else table.row(0)![it.kind] = value
    }
    table.put({ id: 2 })
    if (!it.swallow) return attempt()
    try {
      attempt()
    } catch {
      // Doomed is doomed: this must change nothing.
    }
  },
)

export const emitWrong = odd.procedure(
  'emitWrong',
  { input: { kind: c.text(), name: c.text() } },
  (tx, it) => {
    tx.db.sample.put({ id: 2 })
    tx.emit('happened', { [it.kind]: wrongValues[it.kind as Kind][it.name]!() })
  },
)

interface LooseTable {
  get(key: unknown): unknown
  has(key: unknown): unknown
  row(key: unknown): Record<string, unknown> | undefined
  insert(row: unknown): unknown
  put(row: unknown): void
  update(key: unknown, patch: unknown): void
  add(key: unknown, deltas: unknown): void
  delete(key: unknown): unknown
  scan(range?: unknown): Iterable<unknown>
  readonly index: Readonly<
    Record<string, { get(values: unknown): unknown; scan(range?: unknown): Iterable<unknown> }>
  >
}
type Loose = Omit<TxOf<typeof odd>, 'db'> & { readonly db: Readonly<Record<string, LooseTable>> }

const own = (name: string) => JSON.parse(`{"id": 1, "${name}": 1}`) as object

/** Uses of a table that are wrong in one way, by name. Rows: sample 0, limited 0, pair ['a', 1]. */
export const misuses: Readonly<Record<string, (tx: Loose) => unknown>> = {
  'insert with an unknown column': (tx) => tx.db['sample']!.insert({ id: 1, nope: 1 }),
  'insert with an own __proto__': (tx) => tx.db['sample']!.insert(own('__proto__')),
  'insert with an own constructor': (tx) => tx.db['sample']!.insert(own('constructor')),
  'insert without the key': (tx) => tx.db['sample']!.insert({ int: 1 }),
  'insert of inherited columns only': (tx) => tx.db['sample']!.insert(Object.create({ id: 1 }) as object),
  'insert of null': (tx) => tx.db['sample']!.insert(null),
  'insert of a number': (tx) => tx.db['sample']!.insert(5),
  'insert of undefined': (tx) => tx.db['sample']!.insert(undefined),
  'insert of a list': (tx) => tx.db['sample']!.insert([1]),
  'insert with a null key': (tx) => tx.db['sample']!.insert({ id: null }),
  'update of a key column': (tx) => tx.db['pair']!.update(['a', 1], { right: 2 }),
  'update of an unknown column': (tx) => tx.db['sample']!.update(0, { nope: 1 }),
  'update with null': (tx) => tx.db['sample']!.update(0, null),
  'update by a function that answers nothing': (tx) => tx.db['sample']!.update(0, () => undefined),
  'update by a function that answers a promise': (tx) => tx.db['sample']!.update(0, async () => ({ int: 1 })),
  'add to text': (tx) => tx.db['pair']!.add(['a', 1], { note: 1 }),
  'add to a key column': (tx) => tx.db['pair']!.add(['a', 1], { right: 1 }),
  'add to an unknown column': (tx) => tx.db['limited']!.add(0, { nope: 1 }),
  'add of a fraction to an int': (tx) => tx.db['limited']!.add(0, { least: 0.5 }),
  'add of NaN': (tx) => tx.db['limited']!.add(0, { most: NaN }),
  'add of a bigint to an int': (tx) => tx.db['limited']!.add(0, { least: 1n }),
  'add of text': (tx) => tx.db['limited']!.add(0, { least: '1' }),
  'get with a list for a single key': (tx) => tx.db['sample']!.get([1]),
  'get with text for an int key': (tx) => tx.db['sample']!.get('0'),
  'get with undefined': (tx) => tx.db['sample']!.get(undefined),
  'get with null': (tx) => tx.db['sample']!.get(null),
  'get with NaN': (tx) => tx.db['sample']!.get(NaN),
  'get with a fraction': (tx) => tx.db['sample']!.get(0.5),
  'get with a bare value for a composite key': (tx) => tx.db['pair']!.get('a'),
  'get with too few columns': (tx) => tx.db['pair']!.get(['a']),
  'get with too many columns': (tx) => tx.db['pair']!.get(['a', 1, 2]),
  'get with a lone surrogate': (tx) => tx.db['pair']!.get(['\ud800', 1]),
  'has with too few columns': (tx) => tx.db['pair']!.has(['a']),
  'row with too many columns': (tx) => tx.db['pair']!.row(['a', 1, 2]),
  'delete with too few columns': (tx) => tx.db['pair']!.delete(['a']),
  'update with too few columns': (tx) => tx.db['pair']!.update(['a'], { note: 'x' }),
  'scan with an unknown option': (tx) => [...tx.db['pair']!.scan({ form: ['a'] })],
  'scan with a negative limit': (tx) => [...tx.db['pair']!.scan({ limit: -1 })],
  'scan with a fraction for a limit': (tx) => [...tx.db['pair']!.scan({ limit: 1.5 })],
  'scan with NaN for a limit': (tx) => [...tx.db['pair']!.scan({ limit: NaN })],
  'scan from too many columns': (tx) => [...tx.db['pair']!.scan({ from: ['a', 1, 2] })],
  'scan from a wrong type': (tx) => [...tx.db['pair']!.scan({ from: [1] })],
  'index get with a wrong type': (tx) => tx.db['pair']!.index['byNote']!.get(5),
  'index get with undefined': (tx) => tx.db['pair']!.index['byNote']!.get(undefined),
  'emit of an unknown event': (tx) => (tx.emit as (event: string, payload: object) => void)('nope', {}),
  'emit with an unknown column': (tx) =>
    (tx.emit as (event: string, payload: object) => void)('happened', { nope: 1 }),
  'emit of null': (tx) => (tx.emit as (event: string, payload: unknown) => void)('happened', null),
  'call of something that is no procedure': (tx) =>
    (tx.call as (procedure: unknown) => void)({ name: 'odd.ping' }),
  'call with wrong input': (tx) =>
    (tx.call as (procedure: unknown, input: unknown) => void)(ping, { n: 'x' }),
}

export const misuse = odd.procedure('misuse', { input: { name: c.text() } }, (tx, it) => {
  tx.db.sample.put({ id: 2 })
  misuses[it.name]!(tx as unknown as Loose)
})

/** What a procedure may return and must not, or throw. */
export const endings: Readonly<Record<string, (tx: TxOf<typeof odd>) => unknown>> = {
  'returns a promise': () => Promise.resolve(1),
  'returns a promise that is refused later': () => Promise.reject(new Error('refused later')),
  'is async and uses tx later': async (tx) => {
    await Promise.resolve()
    tx.db.sample.put({ id: 3 })
  },
  'returns a thenable': () => ({ then: (resolve: (value: number) => void) => resolve(1) }),
  'returns a thenable with a throwing then': () => ({
    get then() {
      throw new Error('boom')
    },
  }),
  'returns a class instance': () => new Point(),
  'returns a function': () => () => 1,
  'returns a symbol': () => Symbol('x'),
  'returns a cycle': cycle,
  'returns a Map': () => new Map([[1, 2]]),
  'returns a generator': () =>
    (function* () {
      yield 1
    })(),
  'returns NaN inside': () => ({ n: NaN }),
  'returns a lone surrogate': () => 'x\ud800',
  'returns a throwing getter': () => ({
    get boom() {
      throw new Error('boom')
    },
  }),
  'returns an accessor': (tx) => tx.db.sample.row(0),
  'returns an accessor inside': (tx) => ({ rows: [tx.db.sample.row(0)] }),
  'returns tx': (tx) => tx,
  'returns something bottomless': () => deep(200_000),
  'throws an error': () => {
    throw new Error('an error')
  },
  'throws undefined': () => {
    throw undefined
  },
  'throws null': () => {
    throw null
  },
  'throws text': () => {
    throw 'text'
  },
  'throws a frozen object': () => {
    throw Object.freeze({ code: 'frozen' })
  },
  'throws an error with throwing getters': () => {
    const boom = () => {
      throw new Error('boom')
    }
    throw Object.defineProperties(new Error('outer'), {
      message: { get: boom },
      stack: { get: boom },
      name: { get: boom },
      cause: { get: boom },
      code: { get: boom },
    })
  },
  'throws a proxy that throws': () => {
    const boom = () => {
      throw new Error('boom')
    }
    throw new Proxy(
      {},
      { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom, getOwnPropertyDescriptor: boom },
    )
  },
  'throws a function': () => {
    throw () => 1
  },
  'throws a look-alike of our error': () => {
    throw Object.assign(new Error('fake'), { name: 'SluiceError', code: 'CONFLICT', retryable: true })
  },
  'throws a promise': () => {
    throw Promise.reject(new Error('inside a thrown promise'))
  },
  'recurses for ever': () => {
    const down = (): number => 1 + down()
    return down()
  },
}

/** Writes first, so that what is left behind would show. */
export const ending = odd.procedure('ending', { input: { name: c.text() } }, (tx, it): unknown => {
  tx.db.sample.put({ id: 2, int: 2 })
  tx.db.sample.update(0, { int: 99 })
  return endings[it.name]!(tx) as never
})

/** Fills the stack with writes and swallows the overflow, wherever it strikes. */
export const recurseAndSwallow = odd.procedure(
  'recurseAndSwallow',
  { input: { start: c.int() } },
  (tx, it) => {
    let written = 0
    const down = (n: number) => {
      try {
        tx.db.limited.put({ id: n, least: 3 + (n % 5) })
        written += 1
        down(n + 1)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
      }
    }
    down(it.start)
    return written
  },
)

let kept: { tx?: TxOf<typeof odd>; row?: Record<string, unknown>; rows?: Iterable<unknown> } = {}

/**
 * Keeps `tx` and an accessor in the module, to be used when their transaction is over (same thread only).
 */
export const keep = odd.procedure('keep', {}, (tx) => {
  tx.db.sample.put({ id: 7, int: 7 })
  kept = { tx, row: tx.db.sample.row(7) as unknown as Record<string, unknown>, rows: tx.db.pair.rows() }
})
export const takeKept = () => kept

const bearings: Readonly<Record<string, () => unknown>> = {
  read: () => kept.row!['int'],
  write: () => {
    kept.row!['int'] = 8
  },
  get: () => kept.tx!.db.sample.get(7),
  put: () => kept.tx!.db.sample.put({ id: 8 }),
  iterate: () => [...kept.rows!],
  emit: () => kept.tx!.emit('happened', {}),
  random: () => kept.tx!.random(),
  abort: () => kept.tx!.abort('LATE'),
}
export const keptUses = Object.keys(bearings)
export const useKept = (how: string) => bearings[how]!()
/** Uses inside another transaction what an earlier one left. */
export const useKeptInside = odd.procedure('useKeptInside', { input: { how: c.text() } }, (tx, it) => {
  tx.db.sample.put({ id: 2 })
  useKept(it.how)
})

/** Within one transaction: an accessor and its limits. */
const accessorUses: Readonly<Record<string, (tx: Loose) => unknown>> = {
  'sets a key column': (tx) => {
    tx.db['pair']!.row(['a', 1])!['right'] = 2
  },
  'sets an unknown column': (tx) => {
    tx.db['pair']!.row(['a', 1])!['nope'] = 2
  },
  'sets a column after delete': (tx) => {
    const row = tx.db['pair']!.row(['a', 1])!
    tx.db['pair']!.delete(['a', 1])
    row['note'] = 'late'
  },
}
export const accessorNames = Object.keys(accessorUses)
export const accessor = odd.procedure('accessor', { input: { name: c.text() } }, (tx, it) => {
  tx.db.sample.put({ id: 2 })
  accessorUses[it.name]!(tx as unknown as Loose)
})

export const loopForever = odd.procedure(
  'loopForever',
  { input: { at: c.int().default(0) }, partition: (it) => it.at },
  (tx) => {
    tx.db.sample.put({ id: 2 })
    for (;;);
  },
)

export const exitThread = odd.procedure('exitThread', {}, (tx) => {
  tx.db.sample.put({ id: 2 })
  process.exit(3)
})

export const fill = odd.procedure('fill', { input: { rows: c.int(), characters: c.int() } }, (tx, it) => {
  for (let id = 100; id < 100 + it.rows; id += 1) tx.db.sample.put({ id, text: 'x'.repeat(it.characters) })
})

export const putSample = odd.procedure('putSample', { input: { id: c.int(), text: c.text() } }, (tx, it) => {
  tx.db.sample.put(it)
})

/** Commits, and leaves a refused promise to whoever runs the thread. */
export const leaveRejection = odd.procedure('leaveRejection', { input: { id: c.int() } }, (tx, it) => {
  tx.db.sample.put({ id: it.id })
  void Promise.reject(new Error('nobody waits for this'))
})

export const putText = odd.procedure(
  'putText',
  { input: { left: c.text(), note: c.text().nullable() } },
  (tx, it) => {
    tx.db.pair.put({ left: it.left, right: 1, note: it.note })
  },
)

export const setLimited = odd.procedure(
  'setLimited',
  { input: { row: c.json<Record<string, unknown>>() } },
  (tx, it) => {
    ;(tx.db.limited as unknown as LooseTable).put({ id: 1, ...it.row })
  },
)

export const slow = odd.procedure('slow', { input: { id: c.int(), ms: c.int() } }, (tx, it) => {
  let n = 0
  for (const end = it.ms * 20_000; n < end; n += 1);
  tx.db.sample.put({ id: it.id, int: n })
  return it.id
})

export const prepare = odd.procedure('prepare', {}, (tx) => {
  tx.db.sample.put({ id: 0, int: 0 })
  tx.db.limited.put({ id: 0 })
  tx.db.pair.put({ left: 'a', right: 1, note: 'n' })
})

export default app(import.meta.url, [odd])
