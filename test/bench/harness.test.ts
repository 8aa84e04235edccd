/** The harness's own arithmetic, and the contest's rules: what is printed must be what was measured. */
import fc from 'fast-check'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { contest, type Entry } from '../../bench/contest/contest.js'
import { bench, finish, type Bench, type BenchRecord } from '../../bench/harness.js'
import { watchPauses } from '../../bench/pauses.js'
import { amount, recordText, tableText } from '../../bench/report.js'
import { Checksum, LatencyRecorder, randomSource, spread } from '../../bench/statistics.js'
import { rowPlan, wideRow, type WideRow } from '../../bench/workloads/row-plan.js'
import { accountRow, bankDigest, transferDigest, transferPlan } from '../../bench/workloads/transfer-plan.js'

const smoke = { smoke: true }
const numbers = (min: number, max: number, maxLength: number): fc.Arbitrary<number[]> =>
  fc.array(fc.double({ noNaN: true, min, max }), { minLength: 1, maxLength })

describe('statistics', () => {
  test('a spread is the median with its range, in any order of samples', () => {
    expect(spread([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5, samples: [5, 1, 3] })
    expect(spread([4, 1, 3, 2])).toMatchObject({ median: 2.5, min: 1, max: 4 })
    expect(spread([7])).toMatchObject({ median: 7, min: 7, max: 7 })
    expect(() => spread([])).toThrow(RangeError)
  })

  test('half of the samples lie on either side of a median', () => {
    fc.assert(fc.property(numbers(-1e9, 1e9, 40), (samples) => {
      const { median } = spread(samples)
      const half = samples.length / 2
      expect(samples.filter((sample) => sample < median).length).toBeLessThanOrEqual(half)
      expect(samples.filter((sample) => sample > median).length).toBeLessThanOrEqual(half)
    }))
  })

  test('percentiles of one to a thousand microseconds are what they are called', () => {
    const recorder = new LatencyRecorder(1_000)
    for (let us = 1_000; us >= 1; us -= 1) recorder.record(us / 1_000)
    const { count, p50, p99, p999, max } = recorder.summary()
    expect(count).toBe(1_000)
    const within = (value: number, exact: number): void => expect(Math.abs(value - exact) / exact).toBeLessThan(0.002)
    within(p50, 500)
    within(p99, 990)
    within(p999, 999)
    within(max, 1_000)
  })

  test('percentiles agree with sorting, within the resolution of the histogram', () => {
    fc.assert(fc.property(numbers(0.0001, 1_000, 200), (ms) => {
      const recorder = new LatencyRecorder(ms.length)
      for (const value of ms) recorder.record(value)
      const sorted = [...ms].sort((a, b) => a - b).map((value) => value * 1_000)
      const at = (fraction: number): number => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)]!
      const { p50, p99, max } = recorder.summary()
      for (const [value, exact] of [[p50, at(0.5)], [p99, at(0.99)], [max, sorted.at(-1)!]] as const) {
        expect(Math.abs(value - exact)).toBeLessThanOrEqual(exact * 0.002 + 0.001)
      }
    }))
  })

  test('a recorder says when it is full or empty instead of forgetting', () => {
    const recorder = new LatencyRecorder(1)
    expect(() => recorder.summary()).toThrow('no latency')
    recorder.record(1)
    expect(() => recorder.record(1)).toThrow('full')
  })

  test('a checksum depends on every number and on their order', () => {
    const of = (...words: number[]): string => words.reduce((sum, word) => sum.number(word), new Checksum()).toString()
    expect(of(1, 2, 3)).toBe(of(1, 2, 3))
    const different = [of(1, 2, 3), of(3, 2, 1), of(1, 2), of(1, 2, 3, 0), of(1, 2, 3 + 2 ** 32), of(1, 2, -3)]
    expect(new Set(different).size).toBe(different.length)
  })

  test('a random source is its seed: in range, repeatable, and different from another', () => {
    const draw = (seed: number): number[] => {
      const below = randomSource(seed)
      return Array.from({ length: 1_000 }, () => below(10))
    }
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
    expect(new Set(draw(1))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
  })
})

describe('figures', () => {
  const peer = { name: 'peer', samples: [2, 4, 6], goal: 2 }

  test('a higher figure is better when it should be: ratio and goals', () => {
    const figure = finish({ name: 'f', unit: '/s', better: 'higher', samples: [10, 8, 12], goal: 10, peer })
    expect(figure).toMatchObject({ median: 10, met: true, peer: { median: 4, ratio: 2.5, met: true } })
    expect(finish({ name: 'f', unit: '/s', better: 'higher', samples: [9], goal: 10 }).met).toBe(false)
  })

  test('a lower figure is better when it should be: the ratio is above 1 for the better one', () => {
    const figure = finish({ name: 'f', unit: 'µs', better: 'lower', samples: [2], goal: 2.5, peer })
    expect(figure).toMatchObject({ met: true, peer: { ratio: 2, met: true } })
    const slower = finish({ name: 'f', unit: 'µs', better: 'lower', samples: [3], goal: 2.5, peer })
    expect(slower.peer).toMatchObject({ ratio: 4 / 3, met: false })
  })

  test('no goal, no verdict', () => {
    const figure = finish({ name: 'f', unit: '/s', better: 'higher', samples: [1] })
    expect([figure.met, figure.peer]).toEqual([undefined, undefined])
  })
})

describe('bench', () => {
  test('parameters are small in smoke mode, real otherwise, and yield to a setting', async () => {
    const read = async (options: Parameters<typeof bench>[1]): Promise<BenchRecord> =>
      bench('parameters', options, async (b) => void b.parameter('n', 1, 1_000))
    expect((await read(smoke)).parameters).toEqual({ n: 1 })
    expect((await read({ smoke: false })).parameters).toEqual({ n: 1_000 })
    expect((await read({ smoke: false, set: new Map([['n', 7]]) })).parameters).toEqual({ n: 7 })
  })

  test('repetitions are counted without the warm-ups before them', async () => {
    const seen: number[] = []
    let results: number[] = []
    const set = new Map([['repetitions', 3], ['warmups', 2]])
    await bench('repeat', { smoke: true, set }, async (b) => {
      results = await b.repeat((repetition) => {
        seen.push(repetition)
        return repetition * 10
      })
    })
    expect(seen).toEqual([-2, -1, 0, 1, 2])
    expect(results).toEqual([0, 10, 20])
  })

  test('directories are gone when the benchmark has ended, also badly', async () => {
    const directories: string[] = []
    const use = async (b: Bench): Promise<void> => {
      const directory = b.directory()
      writeFileSync(join(directory, 'file'), 'x')
      directories.push(directory)
    }
    await bench('tidy', smoke, use)
    await expect(bench('untidy', smoke, async (b) => {
      await use(b)
      throw new Error('ended badly')
    })).rejects.toThrow('ended badly')
    expect(directories.map((directory) => existsSync(directory))).toEqual([false, false])
  })

  test('a record survives JSON and tells goals, peers, latencies, reports and notes', async () => {
    const recorder = new LatencyRecorder(1)
    recorder.record(0.123)
    const record = await bench('told', smoke, async (b) => {
      const peer = { name: 'snail', samples: [10], goal: 5 }
      b.figure({ name: 'speed', unit: '/s', better: 'higher', samples: [1_240_000], goal: 2e6, peer })
      b.latency('calls', recorder.summary())
      b.report('hash', 'abc')
      b.note('said')
    })
    const told = JSON.parse(JSON.stringify(record)) as BenchRecord
    const peer = { ratio: 124_000, met: true }
    expect(told.figures[0]).toMatchObject({ name: 'speed', median: 1_240_000, met: false, peer })
    expect(told.machine.cores).toBeGreaterThan(0)
    const text = recordText(told)
    const goals = ['≥ 2.00M/s MISSED', '≥ 5x reached']
    for (const part of ['1.24M/s', ...goals, 'snail', 'calls: p50 123', 'hash abc', 'note: said', 'smoke']) {
      expect(text).toContain(part)
    }
  })
})

describe('report', () => {
  test.each([
    [1_240_000, '/s', '1.24M/s'], [86_100, '/s', '86.1k/s'], [9_999, '/s', '9999/s'], [2.314, 'µs', '2.31 µs'],
    [0, 'ms', '0.00 ms'], [219.6, 'MB', '220 MB'], [12_345_678, '', '12.3M'],
  ])('%d %s is written as %s', (value, unit, text) => expect(amount(value, unit)).toBe(text))

  test('columns of a table begin below each other', () => {
    const lines = tableText([['a', 'bb'], ['long cell', 'x']])
    expect(lines[0]!.indexOf('bb')).toBe(lines[2]!.indexOf('x'))
  })
})

describe('pauses', () => {
  test('a blocked event loop is seen, with the length of the block', async () => {
    const watch = watchPauses()
    await sleep(20)
    const end = performance.now() + 80
    while (performance.now() < end);
    await sleep(20)
    const { longest } = watch.stop()
    expect(longest).toBeGreaterThan(70)
  })

  test('a block that lasts until the watch ends counts too', () => {
    const watch = watchPauses()
    const end = performance.now() + 60
    while (performance.now() < end);
    expect(watch.stop().longest).toBeGreaterThan(50)
  })
})

describe('workloads', () => {
  test('a transfer joins two accounts, and with a stride two of one class', () => {
    for (const stride of [1, 16]) {
      const { from, to, amount: amounts } = transferPlan({ accounts: 320, transfers: 5_000, stride })
      for (let index = 0; index < from.length; index += 1) {
        expect(from[index]).not.toBe(to[index])
        expect(from[index]! % stride).toBe(to[index]! % stride)
        expect(amounts[index]).toBeGreaterThan(0)
      }
      expect(new Set(from).size).toBeGreaterThan(300)
    }
  })

  test('the first transfers of a longer plan are those of a shorter one', () => {
    const short = transferPlan({ accounts: 100, transfers: 50 })
    const long = transferPlan({ accounts: 100, transfers: 500 })
    expect(transferDigest(long, 50)).toBe(transferDigest(short, 50))
    expect(transferDigest(long, 51)).not.toBe(transferDigest(short, 50))
  })

  test('a digest of the plan is that of a bank which did the transfers in another order', () => {
    const plan = transferPlan({ accounts: 50, transfers: 300 })
    const balances = Float64Array.from({ length: 50 }, (_, id) => accountRow(id).balance)
    for (let index = 299; index >= 0; index -= 1) {
      balances[plan.from[index]!]! -= plan.amount[index]!
      balances[plan.to[index]!]! += plan.amount[index]!
    }
    expect(bankDigest(balances, 300)).toBe(transferDigest(plan, 300))
    expect(bankDigest(balances, 299)).not.toBe(transferDigest(plan, 300))
  })

  test('a wide row has one hundred bytes of columns, and no two are alike', () => {
    const bytes = ({ owner, note }: WideRow): number => 8 + owner.length + 8 + 8 + 4 + 4 + note.length
    expect([0, 1, 999_999].map((id) => bytes(wideRow(id)))).toEqual([100, 100, 100])
    expect(wideRow(7).note).not.toBe(wideRow(8).note)
    expect(Math.max(...rowPlan({ rows: 10, reads: 1_000 }).keys)).toBe(9)
  })
})

describe('a contest', () => {
  const module = new URL('./fixtures/contestants.mjs', import.meta.url).href
  const entry = (contestant: string, rest: Partial<Entry> = {}): Entry =>
    ({ name: contestant, module, contestant, count: 10, ...rest })
  const run = async (entries: readonly Entry[], set: ReadonlyMap<string, number> = new Map()) => {
    let standings: Awaited<ReturnType<typeof contest>> = []
    const record = await bench('contest', { smoke: true, set }, async (b) => {
      standings = await contest(b, 'transfer', { accounts: 20 }, entries)
    })
    return { standings, record }
  }

  test('gives a rate for each repetition, latencies where asked for, and the digest of the plan', async () => {
    const set = new Map([['repetitions', 3], ['warmups', 1]])
    const { standings } = await run([entry('honest', { latency: true })], set)
    expect(standings[0]!.rates).toHaveLength(3)
    expect(standings[0]!.rates.every((rate) => rate > 0 && Number.isFinite(rate))).toBe(true)
    const latencies = standings[0]!.latencies.map(({ count, p50 }) => [count, Math.round(p50)])
    expect(latencies).toEqual([[10, 1], [10, 1], [10, 1]])
    expect(standings[0]!.digest).toBe(transferDigest(transferPlan({ accounts: 20, transfers: 40 }), 40))
  }, 30_000)

  test('lets its contestants take turns, each round from another one', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'contest-'))
    const diary = join(directory, 'diary')
    const entries = ['a', 'b', 'c'].map((name) => entry('honest', { name, options: { name, diary } }))
    await run(entries, new Map([['repetitions', 3]]))
    expect(readFileSync(diary, 'utf8').split('\n').join('')).toBe('abcbcacab')
    rmSync(directory, { recursive: true })
  }, 30_000)

  test('stops the clock before a contestant ends what runs besides, and says how much of that there was', async () => {
    const { standings } = await run([entry('tidying'), entry('honest')])
    expect(standings[0]!.rates[0], '10 operations, and half a second that does not count').toBeGreaterThan(10 / 0.25)
    expect(standings.map(({ besides }) => besides)).toEqual([[3], [0]])
  }, 30_000)

  test('throws out who did less work than the workload asks for', async () => {
    await expect(run([entry('honest'), entry('lazy')])).rejects.toThrow(/lazy ended with .* did other work/)
  }, 30_000)

  test('skips a peer that is not installed, and says so', async () => {
    const nowhere = new URL('./fixtures/not-there.mjs', import.meta.url).href
    const missing = entry('honest', { name: 'absent', module: nowhere })
    const { standings, record } = await run([missing, entry('honest')])
    expect(standings[0]).toMatchObject({ name: 'absent', rates: [], digest: undefined })
    expect(record.notes.join()).toContain('absent skipped: ')
    expect(standings[1]!.rates).toHaveLength(1)
  }, 30_000)

  test('fails when a contestant fails or dies, and names it', async () => {
    await expect(run([entry('failing')])).rejects.toThrow(/failing, at "play": .*the disk is full/s)
    await expect(run([entry('dying')])).rejects.toThrow(/dying, at "play": its process ended \(7\)/)
  }, 30_000)
})
