/**
 * The serial oracle (design §3.3): the same batches, once in order and once run ahead, in two engines side by side. After every
 * batch answers and frame must be the same, byte for byte, and now and then all rows.
 *
 * A plan is plain data: what fails can be made smaller, pasted into a test and told (`tell`), step by step.
 */
import type { Program } from '../../engine/schema/descriptor.js'
import stirApp from '../support/apps/stir-app.js'
import { watcher } from '../support/apps/stir-dice.js'
import { randomOf, type Random } from '../support/random.js'
import { canon } from '../support/canon.js'
import { Bench, type Ahead, type Outcome, type Request } from './bench.js'

/** One call: where it is placed (null: the cross-partition lane), its id, its steps. */
export interface Call {
  readonly at: number | null
  readonly id?: string
  readonly script: readonly number[]
}
export type Plan = readonly (readonly Call[])[]

export interface Run {
  readonly seed: number
  readonly ahead: Exclude<Ahead, 'never'>
  readonly plan: Plan
}

/** What happened, so that a test can see that it met what it is about. */
export interface Tally {
  batches: number
  kept: number
  stale: number
  given: number
}

export const program = (stirApp as unknown as Readonly<Record<symbol, Program>>)[Symbol.for('sluicedb.app')]!
const procedureOf = (name: string): number => program.procedures.findIndex(({ descriptor }) => descriptor.name === name)
const anywhere = procedureOf('stir.anywhere')
const somewhere = procedureOf('stir.somewhere')
const batchesBetweenHashes = 200

export function runOf(seed: number, batches: number): Run {
  const random = randomOf(seed)
  const ahead = random.pick(['inline', 'inline', 1, 2, 3] as const)
  return { seed, ahead, plan: planOf(random, batches) }
}

function planOf(random: Random, batches: number): Plan {
  const earlier: Call[] = []
  let number = 0
  const call = (): Call => {
    if (earlier.length > 0 && random.chance(0.03)) return random.pick(earlier) // a repeat
    const script = Array.from({ length: 1 + random.below(random.chance(0.1) ? 12 : 4) }, () => random.below(2 ** 31))
    const at = random.chance(0.3) ? random.below(6) : null
    if (!random.chance(0.06)) return { at, script }
    number += 1
    const made = { at, id: `id ${number}`, script }
    if (earlier.length > 20) earlier.shift()
    earlier.push(made)
    return made
  }
  return Array.from({ length: batches }, () => Array.from({ length: 1 + random.below(random.chance(0.04) ? 24 : 6) }, call))
}

export const requestOf = ({ at, id, script }: Call): Request =>
  at === null ? { procedure: anywhere, input: { script }, id, at: undefined } : { procedure: somewhere, input: { at, script }, id, at }

/** Answers how the two differ, if they do. What the engine throws is a difference, too. */
export function differenceOf(run: Run, tally: Tally = { batches: 0, kept: 0, stale: 0, given: 0 }): string | undefined {
  const serial = new Bench(program, 'never', run.seed)
  const ahead = new Bench(program, run.ahead, run.seed)
  try {
    for (const [n, calls] of run.plan.entries()) {
      const requests = calls.map(requestOf)
      const one = serial.run(requests)
      const other = ahead.run(requests)
      const difference = differenceIn(one, other, ahead)
      if (difference !== undefined) return `batch ${n}: ${difference}`
      tally.batches += 1
      const { counts } = ahead
      if (counts !== undefined) {
        tally.kept += counts.kept
        tally.stale += counts.stale
        tally.given += counts.given
        counts.kept = counts.stale = counts.given = 0
      }
      if ((n + 1) % batchesBetweenHashes === 0 || n === run.plan.length - 1) {
        if (serial.hash() !== ahead.hash()) return `the rows after batch ${n}`
        ahead.check()
      }
    }
    return undefined
  } catch (error) {
    return `it threw ${error instanceof Error ? error.stack : String(error)}`
  } finally {
    serial.end()
    ahead.end()
  }
}

function differenceIn(one: Outcome, other: Outcome, bench: Bench): string | undefined {
  if (Buffer.compare(one.answers, other.answers) !== 0) {
    const [serial, ahead] = [bench.spoken(one.answers), bench.spoken(other.answers)]
    const at = serial.findIndex((answer, n) => answer !== ahead[n])
    return `call ${at}\n  in order ${serial[at]}\n  ahead    ${ahead[at]}`
  }
  if (one.frame === undefined || other.frame === undefined) return one.frame === other.frame ? undefined : `a frame ${one.frame === undefined ? 'too many' : 'is missing'}`
  if (Buffer.compare(one.frame, other.frame) === 0) return undefined
  const at = one.frame.findIndex((byte, n) => byte !== other.frame![n])
  return `the frame (${one.frame.length} and ${other.frame.length} bytes) differs from byte ${at}`
}

/** The smallest plan that still fails, as far as the time goes: without batches, calls and steps that do not matter. */
export function shrunk(run: Run, ms: number): Run {
  const endMs = performance.now() + ms
  let plan = run.plan
  const attempt = (smaller: Plan): boolean => {
    if (performance.now() > endMs || differenceOf({ ...run, plan: smaller }) === undefined) return false
    plan = smaller
    return true
  }
  dropParts(() => plan, attempt)
  for (let batch = plan.length - 1; batch >= 0; batch -= 1) {
    const withCalls = (calls: readonly Call[]): Plan => plan.map((one, n) => (n === batch ? calls : one))
    dropParts(() => plan[batch]!, (calls) => calls.length > 0 && attempt(withCalls(calls)))
    for (let call = plan[batch]!.length - 1; call >= 0; call -= 1) {
      const withScript = (script: readonly number[]): Plan => withCalls(plan[batch]!.map((one, n) => (n === call ? { ...one, script } : one)))
      dropParts(() => plan[batch]![call]!.script, (script) => attempt(withScript(script)))
    }
  }
  return { ...run, plan }
}

/** Halves first, single parts last. */
function dropParts<T>(current: () => readonly T[], attempt: (kept: readonly T[]) => boolean): void {
  for (let size = current().length >> 1 || 1; size >= 1; size >>= 1) {
    for (let from = 0; from < current().length;) {
      const list = current()
      if (!attempt([...list.slice(0, from), ...list.slice(from + size)])) from += size
    }
  }
}

/** A run to paste: `differenceOf({ ... })`. */
export const pasted = ({ seed, ahead, plan }: Run): string => JSON.stringify({ seed, ahead, plan })

/** What the calls of a run do when they run in order, step by step. */
export function tell(run: Run): string {
  const lines: string[] = []
  const bench = new Bench(program, 'never', run.seed)
  try {
    run.plan.forEach((calls, n) => {
      lines.push(`batch ${n}`)
      watcher.saw = (step, answer) => void lines.push(`    ${step} -> ${canon(answer)}`)
      const said = bench.spoken(bench.run(calls.map(requestOf)).answers)
      watcher.saw = undefined
      said.forEach((answer, place) => lines.push(`  call ${place}, ${calls[place]!.at === null ? 'anywhere' : `at ${calls[place]!.at}`}: ${answer}`))
    })
  } finally {
    watcher.saw = undefined
    bench.end()
  }
  return lines.join('\n')
}

/** The story of a run that failed. */
export function storyOf(run: Run, difference: string, ms = 20_000): string {
  const small = shrunk(run, ms)
  return `seed ${run.seed}, ahead ${run.ahead}: ${difference}\n\nsmaller: ${differenceOf(small)}\n${pasted(small)}\n\n${tell(small)}`
}
