/**
 * One row of the fault table (reference/determinism-reliability.md, B8): a test that runs many cases, and a record of
 * what it ran. `report.ts` makes docs/reliability.md of the records.
 *
 *   faultRow(3, { title, injected, invariant, pr: 5_000, nightly: 50_000 }, async (run) => {
 *     for (const index of run.cases()) { ... throw when the invariant does not hold ... }
 *   })
 *
 * How many cases: `pr`, times `SLUICE_FAULTS_TIMES`; `SLUICE_FAULTS=nightly` asks for `nightly`. A run that has a
 * deadline (`SLUICE_FAULTS_UNTIL`, milliseconds of the wall clock; set by soak.ts) ends there, and says so in its record.
 *
 * Each run has a seed of its own, and each case of `cases()` one that is made of that and of its index. So a failure
 * is found again without the cases before it: `SLUICE_SEED=<seed> SLUICE_CASE=<index>` runs that case alone.
 *
 * Invariants:
 *   1  A row that ends, and was neither cut by a deadline nor asked for one case, has run at least its count.
 *   2  Every run leaves a record, also a failed one; the record of a failure names seed, case and commit.
 *   3  One id, one row. A row of several parts has ids like '11 log' and '11 manifest'; the page adds them up.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'vitest'
import { randomOf, type Random } from '../support/random.js'
import { recordFolder, type FaultFigure, type FaultRecord } from './record.js'

export interface FaultRowOptions {
  readonly title: string
  /** How the fault is brought about. */
  readonly injected: string
  /** What must hold in every case. */
  readonly invariant: string
  /** Cases of an ordinary run, and of a nightly one. */
  readonly pr: number
  readonly nightly: number
}

export interface FaultRun {
  /** How many cases to run. */
  readonly count: number
  readonly seed: number
  /** A fraction from 0 to below 1: from the seed of the row, and inside `cases()` from that of the case. */
  random(): number
  /** The same stream, as a `Random`. */
  readonly chance: Random
  /** Indexes from 0 until `count` or `isOver`; each is counted when it is through. */
  cases(): Iterable<number>
  /** Counts `n` cases that are not from `cases()`: rows that walk all of something. */
  done(n?: number): void
  /** The time is up (soak only), or the one case that was asked for is through. */
  readonly isOver: boolean
  /** How often to walk all of something: 1 in an ordinary run. */
  readonly rounds: number
  /** Something measured, for the record. Of several values of a name the last one stays. */
  figure(name: string, value: number | string, unit?: string): void
}

const repository = fileURLToPath(new URL('../..', import.meta.url))

const wantedSeed = process.env['SLUICE_SEED']
const wantedCase = process.env['SLUICE_CASE']
const isNightly = process.env['SLUICE_FAULTS'] === 'nightly'
const times = Number(process.env['SLUICE_FAULTS_TIMES'] ?? 1)
const untilMs = Number(process.env['SLUICE_FAULTS_UNTIL'] ?? Infinity)
const timeoutMs = isNightly || times > 1 || untilMs < Infinity ? 4 * 3_600_000 : 600_000

const registered = new Set<string>()

export function faultRow(
  id: number | string,
  options: FaultRowOptions,
  body: (run: FaultRun) => Promise<void> | void,
): void {
  const row = String(id)
  if (registered.has(row)) throw new Error(`row ${row} is there twice`)
  registered.add(row)
  commitOf() // before the row fills the memory: asking starts a process
  test(`row ${row}: ${options.title}`, { timeout: timeoutMs }, async () => {
    const run = new Run(row, options)
    let failure: unknown
    try {
      await body(run)
      run.mustBeComplete()
    } catch (error) {
      failure = error
    }
    const message = failure === undefined ? undefined : run.blame(failure)
    keep(run.record(message === undefined ? [] : [message]))
    if (message !== undefined) throw new Error(message, { cause: failure })
  })
}

class Run implements FaultRun {
  readonly count: number
  readonly seed: number
  readonly rounds: number
  readonly #row: string
  readonly #options: FaultRowOptions
  readonly #startedMs = Date.now()
  readonly #figures = new Map<string, FaultFigure>()
  #chance: Random
  #done = 0
  #current: number | undefined
  #hasRunWanted = false

  constructor(row: string, options: FaultRowOptions) {
    this.#row = row
    this.#options = options
    this.count = Math.ceil((isNightly ? options.nightly : options.pr) * times)
    this.rounds = Math.max(1, Math.round(this.count / options.pr))
    this.seed = wantedSeed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(wantedSeed)
    this.#chance = randomOf(this.seed)
  }

  get chance(): Random {
    return this.#chance
  }
  get isOver(): boolean {
    return Date.now() >= untilMs || this.#hasRunWanted
  }

  random(): number {
    return this.#chance.fraction()
  }

  *cases(): Iterable<number> {
    const first = wantedCase === undefined ? 0 : Number(wantedCase)
    for (let index = first; index < Math.max(this.count, first + 1) && !this.isOver; index += 1) {
      this.#current = index
      this.#chance = randomOf((this.seed ^ Math.imul(index + 1, 0x9e37_79b1)) >>> 0)
      yield index
      this.#current = undefined
      this.done()
      if (wantedCase !== undefined) this.#hasRunWanted = true
    }
  }

  done(n = 1): void {
    this.#done += n
  }

  figure(name: string, value: number | string, unit = ''): void {
    this.#figures.set(name, { name, value, unit })
  }

  /** Invariant 1. */
  mustBeComplete(): void {
    if (this.isOver) return
    const wanted = Math.min(this.count, this.#options.pr)
    if (this.#done < wanted) throw new Error(`it ran ${this.#done} cases, and ${wanted} are promised`)
  }

  blame(error: unknown): string {
    const why = error instanceof Error ? error.message : String(error)
    const which = this.#current === undefined ? `after ${this.#done} cases` : `case ${this.#current}`
    const only = this.#current === undefined ? '' : ` SLUICE_CASE=${this.#current}`
    return (
      `row ${this.#row}, ${which}, seed ${this.seed}, commit ${commitOf()}: ${why}\n` +
      `Again: SLUICE_SEED=${this.seed}${only} npx vitest run -c vitest.faults.config.ts -t 'row ${this.#row}:'`
    )
  }

  record(failures: readonly string[]): FaultRecord {
    const { title, injected, invariant, pr } = this.#options
    return {
      row: this.#row,
      title,
      injected,
      invariant,
      pr,
      count: this.#done,
      seed: this.seed,
      ms: Date.now() - this.#startedMs,
      figures: [...this.#figures.values()],
      failures,
      isCut: this.isOver && this.#done < this.count,
      commit: commitOf(),
      node: process.version,
      machine: `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} processors`,
      date: new Date().toISOString().slice(0, 10),
    }
  }
}

function keep(record: FaultRecord): void {
  mkdirSync(recordFolder, { recursive: true })
  const name = record.row.replaceAll(/[^a-zA-Z0-9]+/g, '-')
  writeFileSync(join(recordFolder, `row-${name}.json`), `${JSON.stringify(record, undefined, 2)}\n`)
}

let commit: string | undefined

/** With a plus when the product in the work tree differs from it. */
export function commitOf(): string {
  return (commit ??= readCommit())
}

function readCommit(): string {
  const git = (...words: string[]): string => execFileSync('git', words, { cwd: repository, encoding: 'utf8' }).trim()
  try {
    const product = ['engine', 'wal', 'query', 'bindings', 'index.ts', 'package.json']
    return git('rev-parse', '--short=10', 'HEAD') + (git('status', '--porcelain', '--', ...product) === '' ? '' : '+')
  } catch {
    return 'unknown'
  }
}
