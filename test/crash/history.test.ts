/**
 * Strict serializability across crashes: the history of a process that is killed under load, opened again and killed again, with
 * everything that had no answer as what may have happened; judged as a whole by `../support/history.ts`. And across lost threads, in one
 * process, with the cross-partition lane run ahead.
 *
 * `SLUICE_KILLS=<n>` asks for more kills.
 */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { SluiceError, type Database } from 'sluicedb'
import listApp, { inParts, inWhole, lists } from '../support/apps/list-app.js'
import { startCompiled } from '../support/child.js'
import { newFolder, openOnce, until, within } from '../support/fixture.js'
import { anomalies, type Action, type Observed } from '../support/history.js'
import { openInside } from '../support/inside.js'
import { seeds, withSeed } from '../support/random.js'
import { keysBelow, listCallOf, partsApart, type ListCall } from './list-calls.js'

const child = fileURLToPath(new URL('./list-child.ts', import.meta.url))
const kills = Number(process.env['SLUICE_KILLS'] ?? 3)
/** Calls that the process may have made after the last one of which it could tell. */
const untoldMax = 2_000

const apart = (action: Action): Action => ('append' in action ? { ...action, append: action.append + partsApart } : { ...action, read: action.read + partsApart })
const placed = ({ isInParts }: ListCall, actions: readonly Action[]): readonly Action[] => (isInParts ? actions.map(apart) : actions)
/** What a call that has told nothing may have done. */
const appendsOf = (call: ListCall): readonly Action[] => placed(call, call.wishes.filter((wish) => 'append' in wish))

/** Everything at one moment. */
function readAll(db: Database, keys: readonly number[]): Action[] {
  const snapshot = db.snapshot()
  try {
    return keys.flatMap((key): Action[] => [
      { read: key, list: snapshot.table(lists.tables.whole).get(key)?.items ?? [] },
      { read: key + partsApart, list: Array.from(snapshot.table(lists.tables.parts).scan({ prefix: [key] }), (row) => row.value) },
    ])
  } finally {
    snapshot.close()
  }
}

class History {
  readonly observed: Observed[] = []
  readonly #open = new Map<number, number>()
  #clock = 0
  highest = -1

  called(n: number): void {
    this.#open.set(n, (this.#clock += 1))
    this.highest = Math.max(this.highest, n)
  }
  answered(n: number, outcome: 'committed' | 'aborted', actions: readonly Action[]): void {
    this.observed.push({ called: this.#open.get(n)!, answered: (this.#clock += 1), outcome, actions })
    this.#open.delete(n)
  }
  /** Nobody will answer any more. */
  crashed(untold: number): void {
    for (const [n, called] of this.#open) this.observed.push({ called, answered: Infinity, outcome: 'unknown', actions: appendsOf(listCallOf(n)) })
    this.#open.clear()
    for (let n = this.highest + 1; n <= this.highest + untold; n += 1) {
      this.observed.push({ called: this.#clock + 1, answered: Infinity, outcome: 'unknown', actions: appendsOf(listCallOf(n)) })
    }
    this.highest += untold
    this.#clock += 1
  }
  read(actions: readonly Action[]): void {
    this.observed.push({ called: (this.#clock += 1), answered: (this.#clock += 1), outcome: 'committed', actions })
  }
  count(outcome: Observed['outcome']): number {
    return this.observed.filter((one) => one.outcome === outcome).length
  }
}

describe.each([1, 2])('killed with workers %i', (workers) => {
  test.each(seeds(1))('no anomaly in one history over several lives, seed %i', { timeout: 60_000 + kills * 20_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const path = await newFolder()
      const history = new History()
      for (let life = 0; life < kills; life += 1) {
        const program = startCompiled(child, [path, workers, history.highest + 1])
        const failures: string[] = []
        program.onLine((line) => {
          const [what, number] = line.split(' ', 2) as [string, string]
          const n = Number(number)
          if (what === 'call') history.called(n)
          else if (what === 'ok') history.answered(n, 'committed', placed(listCallOf(n), JSON.parse(line.slice(line.indexOf('[')))))
          else if (what === 'no') {
            if (!line.endsWith('ABORTED')) failures.push(line)
            history.answered(n, 'aborted', appendsOf(listCallOf(n)))
          }
        })
        await program.line(/^ok/, 60_000)
        await new Promise((resolve) => setTimeout(resolve, 50 + random.below(250)))
        program.process.kill('SIGKILL')
        expect((await program.ended).signal).toBe('SIGKILL')
        expect(failures).toEqual([])
        history.crashed(untoldMax)
        const db = await openOnce(listApp, { path, workers: 0, partitions: 4 })
        history.read(readAll(db, keysBelow(history.highest)))
        await db.close()
      }
      expect(history.count('committed')).toBeGreaterThan(20 * kills)
      expect(anomalies(history.observed)).toEqual([])
    })
  })
})

describe.each([2, 3])('threads are lost, workers %i, run ahead', (workers) => {
  test.each(seeds(1))('no anomaly in a history of calls that threads died of, seed %i', { timeout: 180_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const history = new History()
      const inside = await openInside(listApp, { workers, partitions: 4, speculation: 'always' })
      const { db } = inside
      let next = 0
      let isOver = false
      let isUnknown = false
      // After a second loss that nobody can be blamed for the database stops.
      const hasStopped = (): boolean => isUnknown || inside.engine.parts.control.load('state') !== 0
      const caller = async (): Promise<void> => {
        while (!isOver && !hasStopped()) {
          const call = listCallOf(next)
          next += 1
          history.called(call.n)
          try {
            const actions = await db.call(call.isInParts ? inParts : inWhole, { wishes: [...call.wishes], fails: call.fails })
            history.answered(call.n, 'committed', placed(call, actions))
          } catch (error) {
            isUnknown ||= SluiceError.is(error, 'COMMIT_UNKNOWN')
            if (hasStopped()) return
            if (!SluiceError.is(error, 'ABORTED') && !SluiceError.is(error, 'WORKER_LOST')) throw error
            history.answered(call.n, 'aborted', appendsOf(call))
            await new Promise((resolve) => setImmediate(resolve)) // a database that refuses at once leaves no turn to anybody
          }
        }
      }
      const callers = Array.from({ length: 24 }, caller)
      try {
        // By what was done, not by time: a new thread takes long to start where the machine is shared.
        for (let loss = 0; loss <= 3 && !hasStopped(); loss += 1) {
          const enough = history.observed.length + 150 + random.below(150)
          await until(() => history.observed.length >= enough || hasStopped(), 'calls go on after a loss', 40_000)
          if (loss < 3) inside.engine.threads.kill(1 + random.below(workers - 1))
        }
      } finally {
        isOver = true
      }
      await within(20_000, 'all callers end', Promise.all(callers))
      history.crashed(0)
      if (!hasStopped()) history.read(readAll(db, keysBelow(history.highest)))
      expect(history.count('committed')).toBeGreaterThan(100)
      expect(anomalies(history.observed)).toEqual([])
      await db.close()
    })
  })
})
