/**
 * Rows 21, 22, 23 and 29: what goes wrong around those who follow the log and those who call.
 *
 * A crash between an effect and its acknowledgement is a copy of the log, taken while the database is open, at a step of the handler: what a kill at that
 * moment leaves. test/crash/consumers.test.ts kills real processes at moments that nobody chose.
 */
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe } from 'vitest'
import { type Database, type Receipt, SluiceError } from 'sluicedb'
import consumersApp, { note, order, post } from '../support/apps/consumers-app.js'
import { byCustomer, drained, expectNoted, noteTwice, ordered, orderOf } from '../support/consumer-orders.js'
import { newFolder, openOnce, until } from '../support/fixture.js'
import { faultRow } from './row.js'

const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}
const quiet = { partitions: 4, outcomes: { window: 0 } } as const
const customers = ['ann', 'bob', 'eve']

describe('consumers', () => {
  faultRow(
    21,
    {
      title: 'a poisoned event',
      injected: 'the handler of a consumer throws on one commit, always; beside it another consumer of the same commits',
      invariant: 'its key stays before it, and it is parked after as many attempts as may be, with what comes behind it; other keys and the other consumer are not touched; attempts are bounded',
      pr: 10,
      nightly: 200,
    },
    async (run) => {
      for (const index of run.cases()) {
        void index
        const db = await openOnce(consumersApp, quiet)
        try {
          const poison = run.chance.below(12)
          const limit = 1 + run.chance.below(4)
          let tried = 0
          const other: number[] = []
          const hurt = await db.consumer('hurt', { events: ordered, key: byCustomer, redelivery: { limit, backoffMs: 1 } }, async (commit, delivery) => {
            if (orderOf(commit).n === poison) {
              tried += 1
              throw new Error('poison')
            }
            await noteTwice(commit, delivery)
          })
          const whole = await db.consumer('whole', { events: ordered }, (commit) => void other.push(orderOf(commit).n))
          for (let n = 0; n < 12; n += 1) await db.call(order, { customer: customers[n % 3]!, n })
          await until(() => !hurt.inspect().isBehind && !whole.inspect().isBehind, 'both are at the end')
          must(tried === limit, `tried ${tried} times, ${limit} were allowed`)
          must(other.length === 12, 'the other consumer has them all')
          const behind = Array.from({ length: 12 }, (_, n) => n).filter((n) => n >= poison && n % 3 === poison % 3)
          must(hurt.parked().map(({ commit }) => orderOf(commit!).n).join() === behind.join(), 'it is parked with what comes behind it')
          const noted = Array.from(db.table(post.tables.seen), (row) => row.n)
          must(noted.length === 2 * (12 - behind.length), 'the others are handled')
        } finally {
          await db.close()
        }
      }
    },
  )

  faultRow(
    22,
    {
      title: 'a crash between an effect and its acknowledgement',
      injected: 'the log as it is at a step of a handler with two effects: before, between and behind them, while earlier commits are done, noted or not; opened again, some twice',
      invariant: 'each effect once, in order by key, none missing',
      pr: 100,
      nightly: 5_000,
    },
    async (run) => {
      let crashes = 0
      while (!run.isOver && crashes < run.count) {
        const path = await newFolder()
        const copies: string[] = []
        const db = await openOnce(consumersApp, { ...quiet, path, durability: 'os' })
        const step = async (): Promise<void> => {
          if (copies.length >= 10 || !run.chance.chance(0.3)) return
          const copy = await newFolder()
          cpSync(path, copy, { recursive: true, filter: (file) => !file.endsWith('lock') })
          copies.push(copy)
        }
        try {
          const consumer = await db.consumer('crashes', { events: ordered, from: 'beginning', key: byCustomer, redelivery: { limit: 2, backoffMs: 1 } }, async (commit, delivery) => {
            await step()
            const { customer, n } = orderOf(commit)
            await delivery.call(note, { customer, n })
            await step()
            if (n % 7 === 3 && delivery.attempt < 3 && run.chance.chance(0.5)) throw new Error('in the middle')
            await delivery.call(note, { customer: `copy of ${customer}`, n })
            await step()
          })
          for (let n = 0; n < 18; n += 1) await db.call(order, { customer: customers[n % 3]!, n })
          await until(() => !consumer.inspect().isBehind, 'everything is handled or parked')
        } finally {
          await db.close()
        }
        for (const copy of copies) {
          const again = await openOnce(consumersApp, { ...quiet, path: copy, durability: 'os' })
          try {
            const consumer = await again.consumer('crashes', { events: ordered, from: 'beginning', key: byCustomer }, async (commit, delivery) => await noteTwice(commit, delivery))
            await drained(consumer)
            expectNoted(again)
          } finally {
            await again.close()
          }
          crashes += 1
          run.done()
        }
      }
    },
  )

  faultRow(
    23,
    {
      title: 'retention overtakes a cursor',
      injected: 'checkpoints with `retention: { bytes: 0, consumerBytes }`, while a consumer is further behind than that',
      invariant: 'the consumer stops with HISTORY_GONE and the oldest position that is left, before it is delivered anything behind the gap; from that position on it goes on',
      pr: 10,
      nightly: 10,
    },
    async (run) => {
      for (const index of run.cases()) {
        void index
        const path = await newFolder()
        const first = await openOnce(consumersApp, { ...quiet, path, durability: 'os' })
        const seen: number[] = []
        const early = await first.consumer('late', { events: ordered, from: 'beginning' }, (commit) => void seen.push(orderOf(commit).n))
        const before = 1 + run.chance.below(20)
        for (let n = 0; n < before; n += 1) await first.call(order, { customer: 'ann', n })
        await until(() => seen.length === before, 'the first ones')
        await early.close()
        for (const from of [1_000, 2_000, 3_000]) await fill(first, from) // the newest segment never leaves
        await first.close()
        const second = await openOnce(consumersApp, { ...quiet, path, durability: 'os', retention: { bytes: 0, consumerBytes: run.chance.below(5_000_000) } })
        try {
          for (let n = 0; n < 2; n += 1) await second.checkpoint()
          must(!readdirSync(join(path, 'log')).includes('0000000001.slog'), 'a segment has left')
          let told: SluiceError | undefined
          const late = await second.consumer('late', { events: ordered, onStop: (error) => void (told = error) }, (commit) => void seen.push(orderOf(commit).n))
          await until(() => told !== undefined, 'it is told')
          must(SluiceError.is(told, 'HISTORY_GONE') && seen.length === before, 'no gap was passed in silence')
          await late.reset(told!.details['oldest'] as never)
          await second.call(order, { customer: 'eve', n: 1_000_000 })
          await until(() => seen.at(-1) === 1_000_000, 'it goes on')
        } finally {
          await second.close()
        }
      }
    },
  )

  faultRow(
    29,
    {
      title: 'duplicate, late and reordered requests',
      injected: 'calls with ids, each made again at random: at once, before its answer, after it, in another order, after a restart and a checkpoint',
      invariant: 'one effect for each id, and every call of it is given the same position and value',
      pr: 200,
      nightly: 20_000,
    },
    async (run) => {
      const path = await newFolder()
      const answers = new Map<number, { readonly position: string; readonly value: unknown }>()
      let next = 0
      let repeats = 0
      let db = await openOnce(consumersApp, { partitions: 4, path, durability: 'os' })
      const ask = async (n: number): Promise<void> => {
        const receipt: Receipt<unknown> = await db.submit(note, { customer: customers[n % 3]!, n }, { id: `request ${n}` })
        const known = answers.get(n)
        if (known === undefined) answers.set(n, receipt)
        else {
          repeats += 1
          must(known.position === receipt.position && known.value === receipt.value, `request ${n} is given another answer`)
        }
      }
      try {
        for (const index of run.cases()) {
          if (index % 50 === 49) {
            if (run.chance.chance(0.5)) await db.checkpoint()
            await db.close()
            db = await openOnce(consumersApp, { partitions: 4, path, durability: 'os' })
          }
          const wanted = Array.from({ length: 1 + run.chance.below(4) }, () => (run.chance.chance(0.4) && next > 0 ? run.chance.below(next) : next++))
          const twice = wanted.flatMap((n) => (run.chance.chance(0.5) ? [n, n] : [n]))
          for (let at = twice.length - 1; at > 0; at -= 1) {
            const other = run.chance.below(at + 1)
            ;[twice[at], twice[other]] = [twice[other]!, twice[at]!]
          }
          await Promise.all(twice.map(ask))
        }
        const effects = Array.from(db.table(post.tables.seen), (row) => row.n)
        must(effects.length === answers.size && new Set(effects).size === effects.length, 'one effect for each id')
        run.figure('ids', answers.size)
        run.figure('calls that were repeats', repeats)
      } finally {
        await db.close()
      }
    },
  )
})

/** More than one segment. */
async function fill(db: Database, from: number): Promise<void> {
  await db.submitMany(order, Array.from({ length: 90 }, (_, k) => ({ customer: 'long', n: from + k, note: 'x'.repeat(100_000) })))
}
