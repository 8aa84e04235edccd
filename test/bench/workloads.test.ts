/** Plans are what they say, and their witnesses believe nobody who did something else. */
import { describe, expect, test } from 'vitest'
import { randomSource } from '../../bench/statistics.js'
import { draws, zipfRanks, zipfSkew, type Distribution } from '../../bench/workloads/distribution.js'
import { customerRow, smallBankKinds, smallBankPlan, type SmallBankPlan } from '../../bench/workloads/smallbank-plan.js'
import { smallBankDigest, SmallBankWitness } from '../../bench/workloads/smallbank-witness.js'
import { transferDigest, transferPlan } from '../../bench/workloads/transfer-plan.js'
import {
  newFields, rowKey, ycsbKinds, ycsbLag, ycsbPlan, ycsbWorkloads, type YcsbPlan, type YcsbWorkload,
} from '../../bench/workloads/ycsb-plan.js'
import { fieldText, keyOf, modifiedText, versionOf } from '../../bench/workloads/ycsb-text.js'
import { ycsbDigest, YcsbWitness } from '../../bench/workloads/ycsb-witness.js'

describe('distributions', () => {
  test('Zipf ranks are drawn as often as their weights say', () => {
    const count = 1_000
    const samples = 400_000
    const rank = zipfRanks(count, randomSource(7))
    const seen = new Float64Array(count)
    for (let sample = 0; sample < samples; sample += 1) seen[rank()]! += 1
    const zeta = Array.from({ length: count }, (_, one) => 1 / (one + 1) ** zipfSkew).reduce((sum, weight) => sum + weight, 0)
    // Ranks 0 and 1 are exact in Gray's method, the others come from a continuous curve.
    for (const [one, tolerance] of [[0, 0.03], [1, 0.05], [9, 0.3], [99, 0.3]] as const) {
      const expected = samples / zeta / (one + 1) ** zipfSkew
      expect(Math.abs(seen[one]! / expected - 1), `rank ${one}`).toBeLessThan(tolerance)
    }
  })

  test('scattered, every item has one rank, and the popular ones are not neighbours', () => {
    const count = 1_000
    const draw = draws('zipf', count, randomSource(7))
    const seen = new Map<number, number>()
    for (let sample = 0; sample < 200_000; sample += 1) {
      const item = draw()
      seen.set(item, (seen.get(item) ?? 0) + 1)
    }
    expect(seen.size).toBeGreaterThan(990)
    expect(Math.max(...seen.keys())).toBeLessThan(count)
    const [first, second] = [...seen].sort(([, a], [, b]) => b - a).map(([item]) => item)
    expect(Math.abs(first! - second!)).toBeGreaterThan(1)
    expect(() => draws('zipf', 2 ** 40, randomSource(7))).toThrow(/can be scattered/)
  })
})

describe('transfers', () => {
  const stride = 16
  test.each([0, 10, 50, 100])('%i percent of them cross a partition', (cross) => {
    const { from, to } = transferPlan({ accounts: 3_200, transfers: 20_000, stride, cross })
    const crossing = from.filter((payer, index) => payer % stride !== to[index]! % stride).length
    expect(crossing / from.length).toBeCloseTo(cross / 100, 1)
    expect(from.every((payer, index) => payer !== to[index])).toBe(true)
  })

  test('with skew a few accounts have a good part of it, and no plan runs an account dry', () => {
    const plan = transferPlan({ accounts: 10_000, transfers: 50_000, distribution: 'zipf' })
    const paid = new Map<number, number>()
    for (const payer of plan.from) paid.set(payer, (paid.get(payer) ?? 0) + 1)
    const most = [...paid.values()].sort((a, b) => b - a).slice(0, 10)
    expect(most.reduce((sum, count) => sum + count, 0) / 50_000).toBeGreaterThan(0.25)
    expect(plan.from.every((payer, index) => payer !== plan.to[index])).toBe(true)
    expect(transferDigest(plan, 50_000)).not.toBe(transferDigest(transferPlan({ accounts: 10_000, transfers: 50_000 }), 50_000))
  })

  test('a share that crosses is refused where nothing can be crossed', () => {
    expect(() => transferPlan({ accounts: 10, transfers: 1, cross: 10 })).toThrow(/stride of 1/)
  })
})

describe('YCSB', () => {
  const settings = { rows: 300, operations: 6_000, distribution: 'zipf' as Distribution }
  const planOf = (workload: YcsbWorkload, operations = settings.operations): YcsbPlan => ycsbPlan({ ...settings, workload, operations })

  test.each([
    ['a', { read: 0.5, update: 0.5 }], ['b', { read: 0.95, update: 0.05 }], ['c', { read: 1 }], ['d', { read: 0.95, insert: 0.05 }],
    ['e', { scan: 0.95, insert: 0.05 }], ['f', { read: 0.5, modify: 0.5 }],
  ] as const)('%s has the mix of the standard', (workload, mix) => {
    const { kind } = planOf(workload)
    for (const [number, name] of ycsbKinds.entries()) {
      const share = kind.filter((one) => one === number).length / kind.length
      expect(share, name).toBeCloseTo((mix as Record<string, number>)[name] ?? 0, 1)
    }
  })

  test.each(ycsbWorkloads)('%s: the first operations of a longer plan are those of a shorter one', (workload) => {
    const [short, long] = [planOf(workload, 500), planOf(workload)]
    expect(long.key.slice(0, 500)).toEqual(short.key)
    expect(ycsbDigest(long, 500)).toBe(ycsbDigest(short, 500))
  })

  test('keys are 32 bits wide and no two rows share one', () => {
    const keys = new Set(Array.from({ length: 200_000 }, (_, number) => rowKey(number)))
    expect(keys.size).toBe(200_000)
    expect(Array.from(keys).filter((key) => key >= 2 ** 31).length / keys.size).toBeCloseTo(0.5, 1)
  })

  test('d reads what is new, and nothing that may not have been acknowledged', () => {
    const operations = ycsbLag + 20_000
    const plan = planOf('d', operations)
    const insertedAt = new Map(Array.from({ length: settings.rows }, (_, number) => [rowKey(number), 0]))
    let late = 0
    for (let index = 0; index < operations; index += 1) {
      if (ycsbKinds[plan.kind[index]!] === 'insert') insertedAt.set(plan.key[index]!, index)
      else {
        const at = insertedAt.get(plan.key[index]!)
        expect(at, `operation ${index} reads a row that was never there`).toBeDefined()
        if (at! > 0) expect(index - at!).toBeGreaterThanOrEqual(ycsbLag)
        if (at! > 0) late += 1
      }
    }
    expect(late, 'reads of rows that were inserted').toBeGreaterThan(10_000)
  })

  test('a scan of e finds as many rows as it asks for', () => {
    const plan = planOf('e')
    const loaded = Array.from({ length: settings.rows }, (_, number) => rowKey(number))
    for (const [index, kind] of plan.kind.entries()) {
      if (ycsbKinds[kind] !== 'scan') continue
      const from = plan.key[index]!
      expect(loaded).toContain(from)
      expect(loaded.filter((key) => key >= from).length).toBeGreaterThanOrEqual(plan.detail[index]!)
    }
  })

  test('a field is one hundred characters that say where it belongs and who wrote it', () => {
    const text = fieldText(rowKey(1), 7, 4_711)
    expect(text).toHaveLength(100)
    expect([keyOf(text), versionOf(text), versionOf(modifiedText(text))]).toEqual([rowKey(1), 4_711, 4_712])
    expect(modifiedText(text)).toBe(fieldText(rowKey(1), 7, 4_712))
  })

  /** Does the plan on a map, in rounds, each of them in the order of `ordered`; `skipped` is left out, `spoil` may spoil the end. */
  function played(workload: YcsbWorkload, {
    ordered = (indexes: number[]) => indexes, skipped = -1, spoil = (_rows: Map<number, string[]>): void => {},
  } = {}): { digest: string; expected: string } {
    const plan = planOf(workload)
    const witness = new YcsbWitness(plan)
    const rows = new Map<number, string[]>()
    for (let number = 0; number < plan.rows; number += 1) rows.set(rowKey(number), newFields(rowKey(number)))
    const operate = (index: number): void => {
      const [key, detail] = [plan.key[index]!, plan.detail[index]!]
      const row = rows.get(key)
      switch (ycsbKinds[plan.kind[index]!]) {
        case 'read':
          return witness.sawRow(row![0]!, row![9]!)
        case 'update':
          return void (row![detail] = fieldText(key, detail, index + 1))
        case 'insert':
          return void rows.set(key, newFields(key))
        case 'modify':
          return void (row![detail] = modifiedText(row![detail]!))
        case 'scan':
          return witness.sawRows(row![0]!, row![9]!, detail)
      }
    }
    const round = 2_000
    for (let first = 0; first < settings.operations; first += round) {
      witness.round(first, round)
      const indexes = Array.from({ length: round }, (_, offset) => first + offset)
      for (const index of ordered(indexes)) if (index !== skipped) operate(index)
    }
    spoil(rows)
    for (const [key, texts] of rows) witness.row(key, texts)
    return { digest: witness.digest(), expected: ycsbDigest(plan, settings.operations) }
  }
  const last = (workload: YcsbWorkload, kind: string): number => planOf(workload).kind.lastIndexOf(ycsbKinds.indexOf(kind as 'read'))

  test.each(ycsbWorkloads)('%s: who does everything is believed, whatever the order inside of a round', (workload) => {
    for (const ordered of [(indexes: number[]) => indexes, (indexes: number[]) => [...indexes].reverse()]) {
      const { digest, expected } = played(workload, { ordered })
      expect(digest).toBe(expected)
    }
  })

  test.each([['a', 'read'], ['d', 'insert'], ['e', 'scan'], ['f', 'modify']] as const)('%s: a %s that was left out is found', (workload, kind) => {
    const { digest, expected } = played(workload, { skipped: last(workload, kind) })
    expect(digest).not.toBe(expected)
  })

  test('a lost update is found, when no other one of its round wrote the field', () => {
    const { kind, key, detail } = planOf('a')
    const alone = kind.findLastIndex((one, index) => {
      const isSame = (other: number): boolean => kind[other] === one && key[other] === key[index] && detail[other] === detail[index]
      const round = Math.floor(index / 2_000) * 2_000
      const others = Array.from({ length: 2_000 }, (_, offset) => round + offset).filter((other) => other !== index && isSame(other))
      const later = Array.from({ length: 4_000 - round }, (_, offset) => round + 2_000 + offset).filter(isSame)
      return ycsbKinds[one] === 'update' && others.length + later.length === 0
    })
    expect(played('a', { skipped: alone }).digest).toMatch(/fields that nobody can have left so/)
  })

  test('texts that nobody wrote, rows that nobody inserted and rows that are gone are found', () => {
    const key = rowKey(5)
    const spoils: ((rows: Map<number, string[]>) => void)[] = [
      (rows) => void (rows.get(key)![3] = fieldText(key, 4, 0)),
      (rows) => void (rows.get(key)![3] = fieldText(key, 3, 999_999)),
      (rows) => void (rows.get(key)![3] = ''),
      (rows) => void rows.get(key)!.pop(),
      (rows) => void rows.set(12, newFields(12)),
      (rows) => void rows.delete(key),
    ]
    for (const spoil of spoils) {
      const { digest, expected } = played('a', { spoil })
      expect(digest).not.toBe(expected)
    }
  })
})

describe('SmallBank', () => {
  const settings = { customers: 40, operations: 4_000, hotspot: 0 }

  test('has the mix of OLTP-Bench, two different customers, and a hotspot where one is asked for', () => {
    const { kind, customer, other } = smallBankPlan(settings)
    const shares = smallBankKinds.map((_, number) => kind.filter((one) => one === number).length / kind.length)
    for (const [number, share] of [0.15, 0.15, 0.15, 0.15, 0.15, 0.25].entries()) expect(shares[number]).toBeCloseTo(share, 1)
    expect(customer.every((who, index) => who !== other[index])).toBe(true)
    const hot = smallBankPlan({ ...settings, customers: 1_000, hotspot: 10 }).customer.filter((who) => who < 10)
    expect(hot.length / settings.operations).toBeCloseTo(0.9, 1)
    expect(() => smallBankPlan({ ...settings, hotspot: 41 })).toThrow(/no hotspot/)
  })

  type Bank = { savings: number[]; checking: number[] }
  /** Does one operation and says what it did. */
  function operate({ savings, checking }: Bank, { kind, customer, other, amount }: SmallBankPlan, index: number): number {
    const [who, whom, cents] = [customer[index]!, other[index]!, amount[index]!]
    const both = savings[who]! + checking[who]!
    switch (smallBankKinds[kind[index]!]) {
      case 'balance':
        return both
      case 'deposit':
        checking[who]! += cents
        return 1
      case 'transact':
        if (savings[who]! + cents < 0) return 0
        savings[who]! += cents
        return 1
      case 'amalgamate':
        savings[who] = checking[who] = 0
        checking[whom]! += both
        return both
      case 'writeCheck':
        checking[who]! -= both < cents ? cents + 1 : cents
        return both < cents ? 2 : 1
      default:
        if (checking[who]! < cents) return 0
        checking[who]! -= cents
        checking[whom]! += cents
        return 1
    }
  }
  function played({
    order = (count: number) => Array.from({ length: count }, (_, index) => index),
    instead = (_plan: SmallBankPlan, _index: number): number | undefined => undefined, spoil = (_bank: Bank): void => {},
  } = {}): { digest: string; expected: string } {
    const plan = smallBankPlan(settings)
    const rows = Array.from({ length: settings.customers }, (_, id) => customerRow(id))
    const bank = { savings: rows.map(({ savings }) => savings), checking: rows.map(({ checking }) => checking) }
    const witness = new SmallBankWitness(plan)
    for (const index of order(settings.operations)) witness.answered(index, instead(plan, index) ?? operate(bank, plan, index))
    spoil(bank)
    for (const { id } of rows) witness.customer(id, bank.savings[id]!, bank.checking[id]!)
    return { digest: witness.digest(), expected: smallBankDigest(plan, settings.operations) }
  }

  test('who does everything is believed, in the order of the plan and a little out of it', () => {
    const swapped = (count: number): number[] => Array.from({ length: count }, (_, index) => index ^ 7)
    for (const order of [undefined, swapped]) {
      const { digest, expected } = played(order && { order })
      expect(digest).toBe(expected)
    }
  })

  test.each(['deposit', 'transact', 'amalgamate', 'writeCheck', 'sendPayment'] as const)('%s that was said and not done is found', (kind) => {
    const target = smallBankPlan(settings).kind.indexOf(smallBankKinds.indexOf(kind))
    const said = kind === 'amalgamate' ? 5 : 1
    const { digest } = played({ instead: (_, index) => (index === target ? said : undefined) })
    expect(digest).toMatch(/do not add up/)
  })

  test('who refuses what should have been done, or leaves an operation out, is found', () => {
    const refuses = played({ instead: ({ kind }, index) => (smallBankKinds[kind[index]!] === 'sendPayment' ? 0 : undefined) })
    expect(refuses.digest).toMatch(/refused, where the plan in its order has/)
    const short = played({ order: (count) => Array.from({ length: count - 1 }, (_, index) => index) })
    expect(short.digest).not.toBe(short.expected)
  })

  test('money that appears, and savings below zero, are found', () => {
    expect(played({ spoil: ({ checking }) => void (checking[3]! += 1) }).digest).toMatch(/do not add up/)
    const moved = ({ savings, checking }: Bank): void => {
      checking[3]! += savings[3]! + 1
      savings[3] = -1
    }
    expect(played({ spoil: moved }).digest).toMatch(/do not add up/)
  })
})
