/** `sluice log`: what it prints of a known database, and what the filters leave of it. */
import { describe, expect, test } from 'vitest'
import { jsonOf } from '../../bindings/value-json.js'
import { quoted, textOf } from '../../bindings/cli/value-text.js'
import { damage, makeBank, partsOf, sluice } from './sluice.js'

const jsonLines = async (...args: readonly string[]): Promise<any[]> => (await sluice('log', ...args, '--json')).lines.map((line) => JSON.parse(line))

describe('text', () => {
  test('has a line for each commit, and an indented one for each change and event', async () => {
    const { path, steps } = await makeBank({ accounts: 4, deposits: 2 })
    const { code, lines } = await sluice('log', path)
    expect(code).toBe(0)
    expect(lines.filter((line) => !line.startsWith('  ')).map((line) => line.slice(0, 25))).toEqual(expect.arrayContaining(steps.map((step) => step.position)))
    const text = lines.join('\n')
    expect(text).toMatch(/^[0-9a-f]{16}-[0-9a-f]{8}  20\d\d-\S+Z  bank\.openAccount  committed$/m)
    expect(text).toContain("  + bank.account 'a1'  id 'a1', owner 'owner of a1', balance 100, note null")
    expect(text).toContain("  ~ bank.account 'a1'  balance 102 → 107")
    expect(text).toContain("  ! bank.transferred  from 'a2', to 'a1', amount 5, n 900")
    expect(text).toContain("  - bank.account 'a3'")
    expect(text).toMatch(/bank\.transfer {2}id too-much {2}ABORTED INSUFFICIENT_FUNDS/)
  })

  test('shows no control characters, whatever was stored', () => {
    expect(quoted('a\u001b[31mred\r\n\u202e')).toBe("'a\\u001b[31mred\\u000d\\n\\u202e'")
    expect(textOf({ a: ['\u0007'] })).toBe("{ a ['\\u0007'] }")
    expect(quoted('x'.repeat(500))).toMatch(/^'x{120}…' \(500 characters\)$/)
  })
})

describe('JSON', () => {
  test('is a line for each commit, with whole rows before and after', async () => {
    const { path } = await makeBank({ accounts: 4, deposits: 3 })
    const commits = await jsonLines(path)
    const deposit = commits.find((one) => one.id === 'order-1')
    expect(deposit).toMatchObject({
      procedure: 'bank.deposit',
      outcome: 'committed',
      result: { n: 1 },
      changes: [
        { kind: 'update', table: 'bank.account', key: 'a1', before: { balance: 100 }, after: { id: 'a1', balance: 102 } },
        { kind: 'insert', table: 'bank.entry', key: ['a1', 1], after: { account: 'a1', n: 1, amount: 2, filler: 'fffffff' } },
      ],
    })
    expect(commits.find((one) => one.id === 'too-much')).toMatchObject({ outcome: 'ABORTED', reason: 'INSUFFICIENT_FUNDS', changes: [], events: [] })
    const [opened] = commits
    expect(opened).toMatchObject({ events: [{ type: 'bank.opened', payload: { id: 'a0' } }], id: null })
    expect(Date.parse(opened.time)).toBeGreaterThan(Date.parse('2024-01-01'))
  })

  test('keeps every value apart from its look-alikes', () => {
    const value = { big: 12n, bytes: new Uint8Array([0, 1]), at: new Date(0), not: Number.NaN, none: undefined, odd: { $bigint: '12' }, plain: ['$x', null, true] }
    expect(JSON.parse(JSON.stringify(jsonOf(value)))).toEqual({
      big: { $bigint: '12' },
      bytes: { $bytes: 'AAE=' },
      at: { $date: '1970-01-01T00:00:00.000Z' },
      not: { $number: 'NaN' },
      none: { $undefined: true },
      odd: { $object: [['$bigint', '12']] },
      plain: ['$x', null, true],
    })
    expect(JSON.stringify(jsonOf(JSON.parse('{"__proto__": 1}')))).toBe('{"__proto__":1}')
  })
})

describe('filters', () => {
  test('positions: each of them begins and ends a listing', async () => {
    const { path } = await makeBank({ accounts: 3, deposits: 3 })
    const all = (await jsonLines(path)).map((one) => one.position as string)
    for (const [n, position] of all.entries()) {
      expect((await jsonLines(path, '--from', position)).map((one) => one.position)).toEqual(all.slice(n))
      expect((await jsonLines(path, '--to', position)).map((one) => one.position)).toEqual(all.slice(0, n + 1))
    }
    expect(await jsonLines(path, '--limit', '2')).toHaveLength(2)
  })

  test('times: as the listing shows them', async () => {
    const { path } = await makeBank({ accounts: 3, deposits: 3 })
    const all = (await jsonLines(path)).map((one) => one.time as string)
    const middle = all[4]!
    expect((await jsonLines(path, '--to', middle)).map((one) => one.time)).toEqual(all.filter((time) => time <= middle))
    expect((await jsonLines(path, '--from', middle)).map((one) => one.time)).toEqual(all.filter((time) => time >= middle))
    expect(await jsonLines(path, '--from', '2999-01-01')).toEqual([])
  })

  test('tables, events, procedures and ids', async () => {
    const { path } = await makeBank({ accounts: 4, deposits: 3 })
    const entries = await jsonLines(path, '--table', 'bank.entry')
    expect(entries.flatMap((one) => one.changes.map((change: any) => change.table))).toEqual(Array(5).fill('bank.entry'))
    const opened = await jsonLines(path, '--event', 'bank.opened')
    expect(opened.map((one) => [one.changes.length, one.events.length])).toEqual(Array(4).fill([0, 1]))
    expect((await jsonLines(path, '--procedure', 'bank.deposit')).map((one) => one.id)).toEqual(['order-0', 'order-1', 'order-2'])
    expect((await jsonLines(path, '--id', 'order-2')).map((one) => one.changes[0].key)).toEqual(['a2'])
    const { code, err } = await sluice('log', path, '--table', 'bank.acount')
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('did you mean "bank.account"?') })
  })
})

test('--frames lists every part in its place, one behind the other', async () => {
  const { path, steps } = await makeBank({ accounts: 4, deposits: 3 })
  const parts = await partsOf(path)
  expect(parts.slice(0, 2).map((part) => part.kind)).toEqual(['segment', 'schema'])
  expect(parts.filter((part) => part.kind === 'frame')).toHaveLength(steps.length + 1)
  for (let n = 1; n < parts.length; n += 1) expect(parts[n]!.offset).toBe(parts[n - 1]!.offset + parts[n - 1]!.bytes)
  expect((await sluice('log', path, '--frames')).lines).toHaveLength(parts.length)
})

test('a damaged log is shown up to the damage, and ends with 1', async () => {
  const { path } = await makeBank({ accounts: 3, deposits: 3 })
  const all = await jsonLines(path)
  const frames = (await partsOf(path)).filter((part) => part.kind === 'frame')
  damage(path, 'log/0000000001.slog', frames[4]!.offset + 300)
  const { code, err, lines } = await sluice('log', path, '--json')
  expect(code).toBe(1)
  expect(err).toContain(`segment 1 at byte ${frames[4]!.offset}`)
  expect(lines.map((line) => JSON.parse(line))).toEqual(all.slice(0, 4))
})
