/**
 * Rows 15, 16 and 17: a worker that throws, exits, is terminated, hangs or fills its heap (R36).
 *
 * Each case puts one call that takes its thread along among ordinary ones, and then asks `told.ts` whether the rows are
 * those of the ordinary calls alone. The story behind 'later': a procedure that left a throwing `process.nextTick` behind
 * committed, and ended its thread a moment afterwards, when nothing ran; two of those stopped the database.
 */
import { describe } from 'vitest'
import { limits } from '../../engine/base/limits.js'
import { partitionOfOne } from '../../engine/schema/placement.js'
import { newFolder, until, within } from '../support/fixture.js'
import { openInside, type Inside } from '../support/inside.js'
import type { Random } from '../support/random.js'
import fragileApp, { phases, type Death } from './apps/fragile-app.js'
import { Told, type Order } from './apps/told.js'
import { faultRow } from './row.js'

const partitions = 4
const memoryBytes = 64 * 2 ** 20
const kinds = ['write', 'writeBoth', 'stray'] as const
/** What the caller of a call that dies so is told. */
const wanted: Readonly<Record<Death, string>> = {
  throw: 'PROCEDURE_FAILED',
  exit: 'WORKER_LOST',
  later: 'ok',
  reject: 'ok',
  loop: 'PROCEDURE_STUCK',
  wait: 'PROCEDURE_STUCK',
  heap: 'WORKER_LOST',
}

function orderFrom(random: Random, told: Told, fate?: string): Order {
  const at = random.below(12)
  const order: Order = { n: told.nextNumber(), kind: random.pick(kinds), at, other: (at + 1 + random.below(11)) % 12, filler: random.chance(0.2) ? 'f'.repeat(random.below(400)) : '' }
  return {
    ...order,
    ...(fate === undefined ? {} : { fate }),
    ...(random.chance(0.3) ? { id: `call ${order.n}` } : {}),
  }
}

/** A place whose partition belongs to a worker. */
const placeOf = (worker: number, workers: number): number => Array.from({ length: 60 }, (_, n) => n).find((n) => partitionOfOne(n, partitions) % workers === worker)!

describe('a worker is lost', () => {
  faultRow(
    15,
    {
      title: 'a worker throws, exits or is terminated',
      injected: 'a procedure throws, calls process.exit, or leaves a throwing callback or a rejected promise behind, in each of 8 phases of its transaction and in each kind of lane; worker.terminate() from main at a random moment under load; 1, 2 and 3 workers',
      invariant: 'the culprit alone fails, every other call of its batch answers as if it had not been there; or the database stops, says so, and reopens with everything it acknowledged; never half a batch; calls go on within 1 s and the start of two workers',
      pr: 60,
      nightly: 2_000,
    },
    async (run) => {
      const procedural = (['throw', 'exit', 'later', 'reject'] as const).flatMap((how) => phases.map((phase) => `${phase} ${how}`))
      const shared = new Map<number, { inside: Inside; told: Told }>()
      let slowestMs = 0
      let stops = 0
      for (const index of run.cases()) {
        const random = run.chance
        // Two of three die in a procedure, in every phase and way; the others are terminated from outside.
        if (index % 3 < 2) {
          const workers = 1 + (index % 4)
          let place = shared.get(workers)
          if (place === undefined) {
            const path = workers % 2 === 0 ? await newFolder() : undefined
            place = { inside: await openInside(fragileApp, { workers, partitions, memoryBytes, ...(path === undefined ? {} : { path }) }), told: new Told() }
            shared.set(workers, place)
          }
          const fate = procedural[(index * 7) % procedural.length]!
          slowestMs = Math.max(slowestMs, await dieAmongOthers(place.inside, place.told, random, fate))
        } else stops += await terminated(random, 1 + (index % 3))
      }
      for (const { inside, told } of shared.values()) {
        told.mustHold(inside.db)
        await inside.close()
      }
      run.figure('slowest call beside a lost one', Math.round(slowestMs), 'ms')
      run.figure('terminations that stopped the database cleanly', stops)
    },
  )

  faultRow(
    16,
    {
      title: 'a worker hangs',
      injected: 'an endless loop, and an endless Atomics.wait, in a partition lane, in the cross-partition lane, in a stray, in two workers at once',
      invariant: 'PROCEDURE_STUCK for the culprit; all others of its batch answer within the limit (5 s), 1 s and the start of a worker, or twice that where there are two in a row, or where one was stuck ahead of its turn and then in it (decision 0015); later calls at once; nothing of the culprit is there',
      pr: 5,
      nightly: 100,
    },
    async (run) => {
      const slowestMs: [number, number] = [0, 0]
      let afterMs = 0
      // Five databases start their workers at once here, at open as after the loss: what that takes is no fault of the watchdog.
      let startMs = 0
      const cases: readonly { workers: number; kind: Order['kind']; hows: readonly Death[]; speculation?: 'always' }[] = [
        { workers: 1, kind: 'write', hows: ['wait'] },
        { workers: 2, kind: 'writeBoth', hows: ['wait'], speculation: 'always' },
        { workers: 2, kind: 'stray', hows: ['wait'] },
        { workers: 2, kind: 'write', hows: ['wait', 'wait'] },
        { workers: 2, kind: 'write', hows: ['loop'] },
      ]
      for (let round = 0; round < run.count && !run.isOver; round += cases.length) {
        // Side by side: they sleep, all but one.
        await Promise.all(
          cases.map(async ({ workers, kind, hows, speculation }) => {
            const random = run.chance
            const openedMs = performance.now()
            const inside = await openInside(fragileApp, { workers, partitions, memoryBytes, speculation })
            startMs = Math.max(startMs, performance.now() - openedMs)
            const told = new Told()
            const calls = Array.from({ length: 12 }, () => orderFrom(random, told))
            const culprits = hows.map((how, n): Order => {
              const at = placeOf(hows.length === 1 ? workers - 1 : n, workers)
              return { n: told.nextNumber(), kind, at, other: at + 1, fate: `${random.pick(['start', 'middle', 'end', 'handler'])} ${how}` }
            })
            for (const culprit of culprits) calls.splice(random.below(calls.length), 0, culprit)
            const codes = await within(30_000, 'the watchdog', Promise.all(calls.map((order) => told.call(inside.db, order))))
            codes.forEach((code, n) => mustBe(code, culprits.includes(calls[n]!) ? 'PROCEDURE_STUCK' : 'ok', calls[n]!))
            // Two culprits may meet in one batch or come one after the other, and one that runs ahead is asked again in order.
            const times = kind === 'write' ? hows.length : 2
            if (told.slowestMs > times * (limits.procedureMsMax + 1_000 + 2 * startMs)) throw new Error(`${kind}: a call waited ${told.slowestMs} ms for a worker that was stuck`)
            slowestMs[times - 1] = Math.max(slowestMs[times - 1]!, told.slowestMs)
            told.slowestMs = 0
            await Promise.all(Array.from({ length: 12 }, () => told.call(inside.db, orderFrom(random, told))))
            afterMs = Math.max(afterMs, told.slowestMs)
            told.mustHold(inside.db)
            await inside.close()
            run.done()
          }),
        )
        if (afterMs > 1_000) throw new Error(`a call after the replacement took ${afterMs} ms`)
      }
      run.figure('longest wait beside a stuck call', Math.round(slowestMs[0]), 'ms')
      run.figure('beside two, or one that ran ahead', Math.round(slowestMs[1]), 'ms')
      run.figure('start of five databases at once, for comparison', Math.round(startMs), 'ms')
      run.figure('longest call right afterwards', Math.round(afterMs), 'ms')
    },
  )

  faultRow(
    17,
    {
      title: 'a worker runs out of heap',
      injected: 'a procedure that allocates without end, in the lane of another worker, in the lane of the sequencer, in the cross-partition lane; the heap of a worker is limited to 512 MiB',
      invariant: 'the culprit is WORKER_LOST (or stuck, on a machine that takes more than 5 s to fill the heap); everything else as in row 15; the process lives, and its memory comes back',
      pr: 3,
      nightly: 100,
    },
    async (run) => {
      const inside = await openInside(fragileApp, { workers: 2, partitions, memoryBytes, path: await newFolder() })
      const told = new Told()
      const before = process.memoryUsage().rss
      let peak = before
      const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20)
      try {
        for (const index of run.cases()) {
          const random = run.chance
          const calls = Array.from({ length: 12 }, () => orderFrom(random, told))
          const at = placeOf(index % 2, 2)
          const culprit: Order = { n: told.nextNumber(), kind: index % 3 === 2 ? 'writeBoth' : 'write', at, other: at + 1, fate: `${random.pick(['start', 'middle', 'end'])} heap` }
          calls.splice(random.below(calls.length), 0, culprit)
          const codes = await within(30_000, 'a full heap', Promise.all(calls.map((order) => told.call(inside.db, order))))
          codes.forEach((code, n) => {
            if (calls[n] !== culprit) mustBe(code, 'ok', calls[n]!)
            else if (code !== 'WORKER_LOST' && code !== 'PROCEDURE_STUCK') throw new Error(`a full heap was told ${code}`)
          })
          run.figure(`case ${index + 1} was told`, codes[calls.indexOf(culprit)]!)
          told.mustHold(inside.db)
        }
      } finally {
        clearInterval(watch)
      }
      await inside.close()
      const left = process.memoryUsage().rss
      run.figure('memory of the process at its peak above the start', Math.round((peak - before) / 2 ** 20), 'MiB')
      run.figure('and at the end', Math.round((left - before) / 2 ** 20), 'MiB')
      if (peak - before > 1_536 * 2 ** 20) throw new Error(`the process grew by ${(peak - before) / 2 ** 20} MiB`)
    },
  )
})

/** One that dies among twelve that do not. Answers how long the slowest of those took. */
async function dieAmongOthers({ db }: Inside, told: Told, random: Random, fate: string): Promise<number> {
  // A check that throws has said no.
  const expected = fate === 'check throw' ? 'CONSTRAINT' : wanted[fate.split(' ')[1] as Death]
  told.slowestMs = 0
  const calls = Array.from({ length: 12 }, () => orderFrom(random, told))
  const culprit = orderFrom(random, told, fate)
  calls.splice(random.below(calls.length), 0, culprit)
  const codes = await within(8_000, fate, Promise.all(calls.map((order) => told.call(db, order))))
  codes.forEach((code, n) => mustBe(code, calls[n] === culprit ? expected : 'ok', calls[n]!))
  told.mustHold(db)
  return told.slowestMs
}

/** Terminates a worker under load, whatever it does at that moment. Answers 1 when that stopped the database. */
async function terminated(random: Random, workers: number): Promise<number> {
  const path = random.chance(0.5) ? await newFolder() : undefined
  const openedMs = performance.now()
  const inside = await openInside(fragileApp, { workers, partitions, memoryBytes, ...(path === undefined ? {} : { path }) })
  const startMs = performance.now() - openedMs
  const { db } = inside
  const told = new Told()
  let isOver = false
  const callers = Array.from({ length: 8 }, async () => {
    while (!isOver) {
      const code = await told.call(db, orderFrom(random, told))
      if (code === 'COMMIT_UNKNOWN') return
      mustBeOneOf(code, ['ok', 'WORKER_LOST'])
    }
  })
  await until(() => (told.counts['ok'] ?? 0) > 20, 'a load')
  await new Promise((resolve) => setTimeout(resolve, random.below(20)))
  const victim = random.below(workers)
  inside.engine.threads.kill(victim)
  await new Promise((resolve) => setTimeout(resolve, 100 + random.below(50)))
  const before = told.counts['ok'] ?? 0
  const hasStopped = (told.counts['COMMIT_UNKNOWN'] ?? 0) > 0
  try {
    if (!hasStopped) {
      const goesOn = (): boolean => (told.counts['ok'] ?? 0) > before || (told.counts['COMMIT_UNKNOWN'] ?? 0) > 0
      await until(goesOn, 'calls go on after a worker was terminated', 1_000 + 2 * startMs)
    }
  } finally {
    isOver = true
  }
  await within(5_000, 'all callers end', Promise.all(callers))
  told.mustHold(db)
  if ((told.counts['COMMIT_UNKNOWN'] ?? 0) === 0) {
    await inside.close()
    return 0
  }
  const late = await told.call(db, orderFrom(random, told))
  mustBeOneOf(late, ['WORKER_LOST'])
  await db.close()
  if (path === undefined) return 1
  const again = await openInside(fragileApp, { workers, partitions, memoryBytes, path })
  told.mustHold(again.db)
  mustBeOneOf(await told.call(again.db, orderFrom(random, told)), ['ok'])
  told.mustHold(again.db)
  await again.close()
  return 1
}

function mustBe(code: string, expected: string, order: Order): void {
  if (code !== expected) throw new Error(`${JSON.stringify(order)} was told ${code} instead of ${expected}`)
}
function mustBeOneOf(code: string, expected: readonly string[]): void {
  if (!expected.includes(code)) throw new Error(`a call was told ${code} instead of ${expected.join(' or ')}`)
}
