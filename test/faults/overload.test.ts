/**
 * Row 30: ten times as many calls as there is capacity for.
 *
 * Open loop: each millisecond as many calls are made as belong to it, whatever has been answered. The procedure counts up to
 * a number, so that capacity is known and the caller's thread has time to make them: the ratio that was reached is measured, and the row fails
 * below ten. Capacity is measured before and afterwards, and the smaller one counts: a machine that others have made slower meanwhile makes fewer
 * calls, too. Stack traces are off meanwhile: with them a refusal takes four times as long, and that many cannot be made.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { describe } from 'vitest'
import { SluiceError } from 'sluicedb'
import { limits } from '../../engine/base/limits.js'
import { newFolder, until } from '../support/fixture.js'
import { openInside } from '../support/inside.js'
import fragileApp, { fragile, work } from './apps/fragile-app.js'
import { faultRow } from './row.js'

const MiB = 2 ** 20
const secondsAll = process.env['SLUICE_FAULTS'] === 'nightly' ? 60 : 12
const warmUps = 300
const ratioMin = 10
const ratioAimedAt = 10.5
const steps = 40_000
const settings = [
  { workers: 1, hasPath: true, calls: limits.callsInFlightMax },
  { workers: 0, hasPath: false, calls: 16_384 },
] as const

describe('overload', () => {
  faultRow(
    30,
    {
      title: 'ten times as many calls as there is capacity for',
      injected: `open-loop calls at ${ratioMin} times the measured capacity or more, for ${secondsAll} s over ${settings.length} settings (60 s in a nightly run): one worker with a path and the default queue of ${limits.callsInFlightMax.toLocaleString('en')} calls, none without a path and with one of ${settings[1].calls.toLocaleString('en')}; no caller waits for an answer, and errors are made without stack traces`,
      invariant: `at least ${ratioMin} times the capacity is offered; each call is answered, or told OVERLOADED before the caller's turn ends, none is lost; what was acknowledged is there; never more calls wait than the queue is long, and the process grows by 400 MiB at most; when the calls end, what was admitted is answered within 1.5 times what that takes at capacity, and 2 s; the next call takes 2 s at most`,
      pr: 1,
      nightly: 5,
    },
    async (run) => {
      for (const index of run.cases()) {
        void index
        for (const { workers, hasPath, calls } of settings) {
          const name = `workers ${workers}${hasPath ? ', path' : ''}`
          const inside = await openInside(fragileApp, { workers, partitions: 4, memoryBytes: 128 * MiB, historyBytes: 0, queue: { calls, whenFull: 'refuse' }, ...(hasPath ? { path: await newFolder(), durability: 'fsync' as const } : {}) })
          const { db } = inside
          for (let n = 0; n < warmUps; n += 1) await db.call(work, { at: n % 4, steps })
          const closed = await closedLoop(1_000, (n) => db.call(work, { at: n % 4, steps }))
          const counts = { ok: 0, overloaded: 0, other: 0, made: 0 }
          const startRss = process.memoryUsage().rss
          let peakRss = startRss
          let mostWaiting = 0
          const answered = (): void => void (counts.ok += 1)
          const refused = (error: unknown): void => void (SluiceError.is(error, 'OVERLOADED') ? (counts.overloaded += 1) : (counts.other += 1))
          const delay = monitorEventLoopDelay({ resolution: 5 })
          delay.enable()
          const { stackTraceLimit } = Error
          Error.stackTraceLimit = 0
          const startedMs = performance.now()
          const endMs = startedMs + (secondsAll * 1_000) / settings.length
          const due = (): number => Math.floor(((performance.now() - startedMs) / 1_000) * closed.perSecond * ratioAimedAt)
          // Longer on a machine that is so slow that the bounds are not met in time.
          while (performance.now() < endMs || (counts.overloaded < 1_000 && performance.now() < endMs + 60_000)) {
            await new Promise((resolve) => setTimeout(resolve, 1))
            // Until nothing is due, also of what became due meanwhile.
            for (let portion = 0; portion < 1_000 && counts.made < due(); portion += 1) {
              for (let n = 0; n < 1_000; n += 1) {
                counts.made += 1
                db.call(work, { at: counts.made % 4, steps }).then(answered, refused)
              }
              await Promise.resolve() // who was refused has heard of it
              mostWaiting = Math.max(mostWaiting, counts.made - counts.ok - counts.overloaded - counts.other)
            }
            peakRss = Math.max(peakRss, process.memoryUsage().rss)
          }
          const tookMs = performance.now() - startedMs
          Error.stackTraceLimit = stackTraceLimit
          delay.disable()
          const leftMs = performance.now()
          // Nobody calls any more: what waits is answered, and a call takes as long as ever.
          await until(() => counts.ok + counts.overloaded + counts.other === counts.made, 'every call is answered', 60_000)
          const emptiedMs = performance.now() - leftMs
          const callMs = performance.now()
          await db.call(work, { at: 0, steps })
          const recoveredMs = performance.now() - callMs
          const again = await closedLoop(500, (n) => db.call(work, { at: n % 4, steps }))
          const capacity = Math.min(closed.perSecond, again.perSecond)
          const ran = [...db.table(fragile.tables.cell)].reduce((sum, row) => sum + row.n, 0)
          const acknowledged = warmUps + closed.calls + counts.ok + 1 + again.calls
          if (ran !== acknowledged) throw new Error(`${name}: ${ran} calls have run, ${acknowledged} were acknowledged`)
          if (counts.other > 0) throw new Error(`${name}: ${counts.other} calls were told something else`)
          const offered = counts.made / (tookMs / 1_000)
          if (counts.overloaded === 0) throw new Error(`${name}: nobody was turned away at ${Math.round(offered)} calls/s over a capacity of ${Math.round(capacity)}`)
          const reached = offered / capacity
          if (reached < ratioMin) throw new Error(`${name}: ${reached.toFixed(1)} times the capacity was offered, and ${ratioMin} were to be`)
          const served = (counts.ok - mostWaiting) / (tookMs / 1_000)
          if (mostWaiting > calls) throw new Error(`${name}: ${mostWaiting} calls were waiting`)
          const grownMiB = (peakRss - startRss) / MiB
          if (grownMiB > 400) throw new Error(`${name}: the process has grown by ${grownMiB} MiB`)
          // What was admitted is work that is owed, and takes as long as it takes at capacity; then everything is as before.
          const owedMs = (calls / closed.perSecond) * 1_000
          if (emptiedMs > 2_000 + owedMs * 1.5) throw new Error(`${name}: what waited was answered ${emptiedMs} ms after the end`)
          if (recoveredMs > 2_000) throw new Error(`${name}: a call after the overload took ${recoveredMs} ms`)
          run.figure(`${name}: capacity`, Math.round(capacity), 'calls/s')
          run.figure(`${name}: offered`, Math.round(offered), 'calls/s')
          run.figure(`${name}: offered over capacity`, reached.toFixed(1), 'x')
          run.figure(`${name}: served meanwhile, at least`, Math.round(served), 'calls/s')
          run.figure(`${name}: turned away`, Math.round((counts.overloaded / counts.made) * 100), '%')
          run.figure(`${name}: most calls waiting`, mostWaiting)
          run.figure(`${name}: memory at its peak above the start`, Math.round(grownMiB), 'MiB')
          run.figure(`${name}: the backlog was answered after`, Math.round(emptiedMs), 'ms')
          run.figure(`${name}: the next call took`, recoveredMs.toFixed(1), 'ms')
          run.figure(`${name}: the caller's event loop, p99 of its delay`, Math.round(delay.percentile(99) / 1e6), 'ms')
          inside.check()
          await inside.close()
        }
      }
    },
  )
})

/** Callers who wait for their answers, for so long: what the database can do here. */
async function closedLoop(ms: number, call: (n: number) => Promise<unknown>): Promise<{ readonly calls: number; readonly perSecond: number }> {
  const startedMs = performance.now()
  let calls = 0
  await Promise.all(
    Array.from({ length: 256 }, async () => {
      while (performance.now() - startedMs < ms) {
        calls += 1
        await call(calls)
      }
    }),
  )
  return { calls, perSecond: calls / ((performance.now() - startedMs) / 1_000) }
}
