/**
 * The harness: a benchmark is a test with a second, larger number.
 *
 * ```ts
 * await bench('cross-partition transfer', { smoke: true }, async (b) => {
 *   const transfers = b.parameter('transfers', 100, 200_000)   // smoke, real
 *   const rates = await b.repeat(() => rateOf(transfers))
 *   b.figure({ name: 'transfers', unit: '/s', better: 'higher', samples: rates, goal: 400_000 })
 *   b.report('hash', checksum)     // if this changes, you changed the meaning, not the speed
 * })
 * ```
 *
 * The body runs once; what is repeated, it repeats itself through `repeat`, which warms up first. In smoke mode every
 * parameter is small and there is one repetition, so that the test suite can run each benchmark and none of them
 * rots. A goal that is missed is printed, never thrown: the machine is shared. A result hash that is wrong throws.
 *
 * Why not benny for all of it: it measures throughput only, keeps no percentiles and cannot wait for a disk. It does
 * the micro suite.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { machine, quiet, type Machine, type Quiet } from './machine.js'
import { spread, type Latency, type Spread } from './statistics.js'

export interface Options {
  readonly smoke: boolean
  /** Values of parameters by name, instead of the smoke or the real one. */
  readonly set?: ReadonlyMap<string, number> | undefined
}

export interface FigureInput {
  readonly name: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly samples: readonly number[]
  /** What issue or design ask for, in the unit of the figure. */
  readonly goal?: number | undefined
  /** The same work done by someone else in the same run. */
  readonly peer?: PeerInput | undefined
}

export interface PeerInput {
  readonly name: string
  readonly samples: readonly number[]
  /** The ratio that is asked for. */
  readonly goal?: number | undefined
}

export interface Figure extends Spread {
  readonly name: string
  readonly unit: string
  readonly better: 'higher' | 'lower'
  readonly goal: number | undefined
  readonly met: boolean | undefined
  readonly peer: PeerFigure | undefined
}

export interface PeerFigure extends Spread {
  readonly name: string
  /** How many times better than the peer: above 1 is better, whichever way the unit runs. */
  readonly ratio: number
  readonly goal: number | undefined
  readonly met: boolean | undefined
}

/** One run of one benchmark, as it is written to bench/results. */
export interface BenchRecord {
  readonly bench: string
  readonly at: string
  readonly mode: 'smoke' | 'real'
  readonly machine: Machine
  readonly quiet: { readonly before: Quiet; readonly after: Quiet }
  readonly parameters: Readonly<Record<string, number>>
  readonly figures: readonly Figure[]
  readonly latencies: Readonly<Record<string, Latency>>
  readonly reports: Readonly<Record<string, string>>
  readonly notes: readonly string[]
}

export interface Bench {
  readonly smoke: boolean
  parameter(name: string, smoke: number, real: number): number
  /** Runs `work` `warmups` times unseen, then `repetitions` times; answers what the latter returned. */
  repeat<T>(work: (repetition: number) => T | Promise<T>): Promise<T[]>
  figure(figure: FigureInput): void
  latency(name: string, latency: Latency): void
  report(name: string, value: string | number): void
  note(text: string): void
  /** A new directory on the disk of the project, removed when the benchmark ends. */
  directory(): string
}

const repetitionsReal = 5
const warmupsReal = 1

export async function bench(name: string, options: Options, run: (b: Bench) => Promise<void>): Promise<BenchRecord> {
  const parameters: Record<string, number> = {}
  const figures: Figure[] = []
  const latencies: Record<string, Latency> = {}
  const reports: Record<string, string> = {}
  const notes: string[] = []
  const directories: string[] = []

  const b: Bench = {
    smoke: options.smoke,
    parameter(parameter, smoke, real) {
      const value = options.set?.get(parameter) ?? (options.smoke ? smoke : real)
      parameters[parameter] = value
      return value
    },
    async repeat(work) {
      const repetitions = b.parameter('repetitions', 1, repetitionsReal)
      const warmups = b.parameter('warmups', 0, warmupsReal)
      for (let warmup = 0; warmup < warmups; warmup += 1) await work(warmup - warmups)
      const results = []
      for (let repetition = 0; repetition < repetitions; repetition += 1) results.push(await work(repetition))
      return results
    },
    figure: (figure) => void figures.push(finish(figure)),
    latency: (latencyName, latency) => void (latencies[latencyName] = latency),
    report: (reportName, value) => void (reports[reportName] = String(value)),
    note: (text) => void notes.push(text),
    directory() {
      const directory = temporaryDirectory(name)
      directories.push(directory)
      return directory
    },
  }

  const before = quiet()
  try {
    await run(b)
  } finally {
    // A server that somebody's death has stopped may still be writing its last file.
    for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
  const mode = options.smoke ? 'smoke' : 'real'
  const ends = { machine: machine(), quiet: { before, after: quiet() } }
  return { bench: name, at: new Date().toISOString(), mode, ...ends, parameters, figures, latencies, reports, notes }
}

/** The median, its range, and how it stands against goal and peer. */
export function finish(input: FigureInput): Figure {
  const own = spread(input.samples)
  const meets = (value: number, goal: number | undefined): boolean | undefined =>
    goal === undefined ? undefined : input.better === 'higher' ? value >= goal : value <= goal
  const { name, unit, better, goal } = input
  const peer = input.peer && against(own, input.peer, better)
  return { name, unit, better, goal, ...own, met: meets(own.median, goal), peer }
}

function against(own: Spread, peer: PeerInput, better: 'higher' | 'lower'): PeerFigure {
  const theirs = spread(peer.samples)
  const ratio = better === 'higher' ? own.median / theirs.median : theirs.median / own.median
  const { name, goal } = peer
  return { name, goal, ...theirs, ratio, met: goal === undefined ? undefined : ratio >= goal }
}

/** The folder that holds package.json, from the sources as well as from dist/. */
export const projectRoot: string = (() => {
  for (let url = new URL('./', import.meta.url); url.pathname !== '/'; url = new URL('../', url)) {
    if (existsSync(new URL('package.json', url))) return fileURLToPath(url)
  }
  throw new Error('the benchmarks live inside the project, and no package.json was found above them')
})()

export const resultsDirectory: string = join(projectRoot, 'bench', 'results')

/**
 * Under the project and not under the system's temporary directory, which is often kept in memory: no disk, no sync.
 */
function temporaryDirectory(name: string): string {
  const parent = join(resultsDirectory, 'tmp')
  mkdirSync(parent, { recursive: true })
  return mkdtempSync(join(parent, `${name}-`))
}
