/** What the JSON Schema of an input accepts the engine accepts, and the other way round; and what goes in comes out again. */
import { describe as described, type Database } from 'sluicedb'
import { httpHandler, jsonSchemas, type HttpHandler } from 'sluicedb/http'
import { describe, expect, test } from 'vitest'
import { decimalPattern } from '../../bindings/describe/json-schema.js'
import columnsApp from '../support/apps/columns-app.js'
import { openFor } from '../support/fixture.js'
import { SchemaChecker } from '../support/json-schema.js'
import { seeds, withSeed, type Random } from '../support/random.js'

type Json = Record<string, unknown>
const uuid = '0b5e7a3c-6f0d-4f6e-9a53-2f1f7d7c1c11'
const schemas = jsonSchemas(described(columnsApp))
const checker = new SchemaChecker(schemas)

const right: Readonly<Record<'takePlain' | 'takeRuled', Json>> = {
  takePlain: { flag: true, i32: -1, u32: 1, int: 5, f64: 1.5, big: '12', text: 'x', uuid, word: 'open', bytes: 'AAE=', time: 0, json: { a: [1] } },
  takeRuled: { i32: 0, u32: 1, int: 7, f64: 0, above: 1, below: 0, big: '5', bigPositive: '1', text: 'x', code: 'ab-1', loose: 'B', uuid, bytes0: '' },
}

/** Values that are right somewhere and wrong elsewhere, and some beside every bound. */
const numbers = [0, -0, 1, -1, 7, 6, 2.5, 2.6, -1.5, -1.6, 300, 301, -5, -6, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 8.64e15, -8.64e15, 1e300, 5e-324, 0.5]
const decimals = ['0', '-0', '00', '01', '1', '-1', '+1', '1.0', '', ' 1', '1n', '-1234', '-1235', '987654321', '987654322', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809', '99999999999999999999']
const texts = ['', ' ', '\t\n', 'x', 'abcde', 'abcdef', 'ab-1', 'ab-1234', 'AB-1', 'b', 'B', 'open', 'shut', 'OPEN', uuid, uuid.toUpperCase(), uuid.replace('0', '1'), uuid.slice(1), 'Infinity', '-Infinity', 'NaN', 'ä', '\u00a0', '__proto__']
const base64 = ['AAE=', 'AAE', 'AA==', 'AB==', 'AAEC', 'AAECAw==', '=', '====', 'A===', 'AA-_', 'AA E=', '////', '+/==', 'gA==']
const plain: readonly unknown[] = [null, true, false, [], {}, [[]], { $bigint: '12' }, { $bigint: 'x' }, { $bytes: 'AA==' }, { $bytes: 'A' }, { $date: '2026-01-01T00:00:00.000Z' }, { $date: 'now' }, { $number: 'Infinity' }, { $number: 5 },
  { $undefined: true }, { $undefined: false }, { $object: [['$x', 1]] }, { $object: [[1, 2]] }, { $x: 1 }, { $x: 1, y: 2 }, { a: { $bigint: '-0' } }, [{ $bytes: '' }], JSON.parse('{"__proto__":{"a":1}}')]
const pool = [...numbers, ...decimals, ...texts, ...base64, ...plain]

function someValue(random: Random): unknown {
  const kind = random.below(8)
  if (kind === 0) return (random.chance(0.5) ? -1 : 1) * Math.floor(random.fraction() * 10 ** random.below(18))
  if (kind === 1) return String(BigInt(Math.floor(random.fraction() * 1e9)) * BigInt(Math.floor(random.fraction() * 1e12)) - BigInt(random.below(2_000)))
  if (kind === 2) return Buffer.from(Array.from({ length: random.below(9) }, () => random.below(256))).toString('base64')
  if (kind === 3) return Array.from({ length: random.below(8) }, () => random.pick(['a', 'b', '-', '1', ' ', 'Z'])).join('')
  return random.pick(pool)
}

/** `checked` is a rule that only a function knows; patterns with flags have no spelling in JSON Schema. */
const beyondSchemas = (name: string, input: Json): boolean =>
  name === 'takeRuled' && ((Number.isInteger(input['checked']) && (input['checked'] as number) % 2 !== 0) || (typeof input['loose'] === 'string' && !/b/i.test(input['loose'])))

function someInput(name: keyof typeof right, random: Random): Json {
  const input: Json = { ...right[name] }
  const names = [...Object.keys((checker.at(`#/$defs/columns.${name}.input`)['properties'] as Json)), 'other']
  const changes = 1 + random.below(2)
  for (let n = 0; n < changes; n += 1) {
    const column = random.pick(names)
    if (random.chance(0.1)) delete input[column]
    else if (column !== 'other' || random.chance(0.2)) input[column] = someValue(random)
  }
  return input
}

const post = (handler: HttpHandler, path: string, body: unknown): Promise<Response> =>
  handler(new Request(`http://db${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }))

describe('inputs', () => {
  test.each(seeds(8))('seed %i: the schema and the engine accept the same', (seed) =>
    withSeed(seed, async (random) => {
      const handler = httpHandler(await openFor(columnsApp))
      let accepted = 0
      let refused = 0
      for (let n = 0; n < 400; n += 1) {
        const name = random.pick(['takePlain', 'takeRuled'] as const)
        const input = JSON.parse(JSON.stringify(someInput(name, random))) as Json
        if (beyondSchemas(name, input)) continue
        const isRight = checker.accepts(checker.at(`#/$defs/columns.${name}.input`), input)
        const response = await post(handler, `/call/columns/${name}`, input)
        const answer = await response.text()
        if (isRight) accepted += 1
        else refused += 1
        expect(response.status, `${name} ${JSON.stringify(input)}: the schema says ${isRight ? 'yes' : 'no'}, and the engine ${answer}`).toBe(isRight ? 200 : 400)
      }
      expect(Math.min(accepted, refused)).toBeGreaterThan(20)
    }),
  )

  test('each value of the pool in each column', async () => {
    const handler = httpHandler(await openFor(columnsApp))
    const verdicts = new Map<string, Set<boolean>>()
    for (const name of ['takePlain', 'takeRuled'] as const) {
      const schema = checker.at(`#/$defs/columns.${name}.input`)
      for (const column of Object.keys(schema['properties'] as Json)) {
        const seen = new Set<boolean>()
        verdicts.set(`${name}.${column}`, seen)
        const all = pool.map(async (value) => {
          const input = JSON.parse(JSON.stringify({ ...right[name], [column]: value })) as Json
          if (beyondSchemas(name, input)) return
          const isRight = checker.accepts(schema, input)
          seen.add(isRight)
          const response = await post(handler, `/call/columns/${name}`, input)
          expect(response.status, `${name}.${column} ${JSON.stringify(value)}: ${await response.text()}`).toBe(isRight ? 200 : 400)
        })
        await Promise.all(all)
      }
    }
    // Each column met something that is right and something that is wrong; patterns with flags are checked by the engine alone.
    expect([...verdicts].filter(([, seen]) => seen.size !== 2).map(([name]) => name)).toEqual([])
  })
})

/** Entries and not `toEqual`: it takes a key "__proto__" for the prototype. */
const textOf = (row: Json): string => JSON.stringify(Object.entries(row).sort(([one], [other]) => (one < other ? -1 : 1)))

test('rows and payloads: what was written is read, and their schemas accept it', async () => {
  const db: Database = await openFor(columnsApp)
  const { columns } = await import('../support/apps/columns-app.js')
  const handler = httpHandler(db, { expose: { tables: [columns.tables.plain] } })
  const rows: readonly Json[] = [
    { id: 1, ...right.takePlain },
    { id: 2, ...right.takePlain, f64: 'Infinity', big: '-9223372036854775808', bytes: '', json: null, text: 'é€😀' },
    { id: 3, ...right.takePlain, f64: '-Infinity', json: { $bigint: '123456789012345678901234567890' }, time: -1 },
    { id: 4, ...right.takePlain, json: [{ $bytes: 'AAE=' }, { $date: '2026-01-01T00:00:00.000Z' }, { $undefined: true }, { $object: [['$date', 'mine']] }, { $number: '-Infinity' }] },
    { id: 5, ...right.takePlain, json: JSON.parse('{"__proto__":{"constructor":1},"toString":2}') as unknown },
  ]
  for (const row of rows) {
    expect((await post(handler, '/call/columns/write', row)).status).toBe(200)
    const response = await handler(new Request(`http://db/table/columns/plain?key=${row['id'] as number}`))
    const { row: read } = (await response.json()) as { row: Json }
    expect(textOf(read)).toBe(textOf(row))
    expect(checker.accepts(checker.at('#/$defs/columns.plain.row'), read)).toBe(true)
  }
  const { value } = (await (await post(handler, '/call/columns/takePlain', right.takePlain)).json()) as { value: Json }
  expect(value).toEqual({ ...right.takePlain, big: { $bigint: '12' }, bytes: { $bytes: 'AAE=' } })
  expect(checker.accepts(checker.at('#/$defs/Json'), value)).toBe(true)
})

test('a pattern of decimal numbers matches its range and nothing else', () => {
  for (const seed of seeds(40)) {
    const random = { below: (n: number) => Math.floor(n * ((Math.sin(seed * 9_301 + (calls += 1)) + 1) / 2.000001)) }
    let calls = 0
    const ends = [random.below(3_000) - 1_500, random.below(3_000) - 1_500].sort((a, b) => a - b)
    const pattern = new RegExp(decimalPattern(BigInt(ends[0]!), BigInt(ends[1]!)), 'u')
    for (let n = -1_700; n <= 1_700; n += 1) expect(pattern.test(String(n)), `${n} in ${ends.join(' to ')}`).toBe(n >= ends[0]! && n <= ends[1]!)
  }
})
