/**
 * Several databases, one workload, one run. The contestants take turns (a round of the first, a round of the second,
 * …, from another one each time), so that a noisy minute hits all of them, and each has its own process, so that no
 * heap, no thread and no compiled code of one weighs on another. What a contestant leaves behind is compared with
 * what the plan itself reckons: who does less work than the others is thrown out, not printed.
 *
 * A peer that is not installed is reported as skipped.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { projectRoot, type Bench } from '../harness.js'
import type { Latency } from '../statistics.js'
import type { ContestantOptions, Workload } from './contestant.js'
import type { Command, Played, Reply } from './stage.js'

export interface Entry {
  /** As the tables say it. */
  readonly name: string
  readonly module: string
  readonly contestant: string
  /** Operations in a round: as many as give the contestant about a second. */
  readonly count: number
  readonly options?: ContestantOptions | undefined
  /** Settings of the workload that are this entry's own: one contestant at several plans, in turns. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined
  /** Note how long each operation took. The clock adds 0.05 µs to a latency; to a round, 0.15 µs an operation. */
  readonly latency?: boolean | undefined
}

export interface Standing {
  readonly name: string
  readonly skipped: string | undefined
  /** Operations per second, one number a round. */
  readonly rates: readonly number[]
  readonly latencies: readonly Latency[]
  /** Growth of the resident memory of the process, after each round. */
  readonly residentBytes: readonly number[]
  /** What a contestant did besides its operations, in each round: checkpoints. */
  readonly besides: readonly number[]
  readonly digest: string | undefined
}

export interface Rounds {
  readonly warmups: number
  readonly repetitions: number
}

/** Our contestants, and the modules of the peers. */
export const modules = {
  sluicedb: new URL(besides('./sluicedb'), import.meta.url).href,
  sqlite: compareModule('better-sqlite3.mjs'),
  lmdb: compareModule('lmdb.mjs'),
  plain: compareModule('plain.mjs'),
  redis: compareModule('redis.mjs'),
  postgres: compareModule('postgres.mjs'),
  nats: compareModule('nats.mjs'),
} as const

/** What a plan calls its length. */
type Length = 'transfers' | 'reads' | 'transactions' | 'operations'
type Settings<W extends Workload> = W extends { readonly kind: 'load' } ? W['settings'] : Omit<W['settings'], Length>

/** The rounds come from the benchmark's parameters; the length of the plan follows from rounds and counts. */
export async function contest<K extends Workload['kind']>(
  b: Bench, kind: K, settings: Settings<Workload & { readonly kind: K }>, entries: readonly Entry[],
): Promise<Standing[]> {
  const rounds = {
    repetitions: b.parameter('repetitions', 1, 5),
    warmups: b.parameter('warmups', 0, 1),
  }
  const operations = Math.max(...entries.map((entry) => entry.count)) * (rounds.warmups + rounds.repetitions)
  const lengths: Record<Length, number> = { transfers: operations, reads: operations, transactions: operations, operations }
  const workload = { kind, settings: { ...lengths, ...settings } } as unknown as Workload
  const standings = await play(b, workload, entries, rounds)
  for (const { name, skipped } of standings) if (skipped !== undefined) b.note(`${name} skipped: ${skipped}`)
  return standings
}

export async function play(
  b: Bench, workload: Workload, entries: readonly Entry[], rounds: Rounds,
): Promise<Standing[]> {
  const seats = entries.map((entry) => new Seat(entry))
  try {
    await together(seats, (seat) => seat.open(workload, b.directory()))
    for (let round = -rounds.warmups; round < rounds.repetitions; round += 1) {
      for (let turn = 0; turn < seats.length; turn += 1) {
        const seat = seats[(turn + round + rounds.warmups) % seats.length] as Seat
        await seat.play(round >= 0)
      }
    }
    await together(seats, (seat) => seat.close())
  } finally {
    for (const seat of seats) seat.leave()
  }
  return seats.map((seat) => seat.standing())
}

/** What no clock runs for: as many at a time as there are processors. */
async function together(seats: readonly Seat[], work: (seat: Seat) => Promise<void>): Promise<void> {
  const rest = seats.values()
  const next = async (): Promise<void> => {
    for (const seat of rest) await work(seat)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, next))
}

/** A play takes at most this long; then the contestant hangs and the run is over. */
const answerMsMax = 15 * 60 * 1_000

class Seat {
  readonly #entry: Entry
  readonly #child: ChildProcess
  readonly #played: Played[] = []
  #skipped: string | undefined
  #digest: string | undefined

  constructor(entry: Entry) {
    this.#entry = entry
    const fromSources = import.meta.url.endsWith('.ts')
    const execArgv = ['--expose-gc', ...(fromSources ? ['--import', 'tsx'] : [])]
    this.#child = fork(fileURLToPath(new URL(besides('./stage'), import.meta.url)), { execArgv })
  }

  async open(workload: Workload, directory: string): Promise<void> {
    const { module, contestant, settings, options = {} } = this.#entry
    const own = { ...workload, settings: { ...workload.settings, ...settings } } as Workload
    const reply = await this.#ask({ kind: 'open', module, contestant, workload: own, directory, options })
    if (reply.kind === 'missing') this.#skipped = reply.reason
  }

  async play(counts: boolean): Promise<void> {
    if (this.#skipped !== undefined) return
    const { count, latency = false } = this.#entry
    const reply = await this.#ask({ kind: 'play', count, latency })
    if (reply.kind === 'played' && counts) this.#played.push(reply)
  }

  async close(): Promise<void> {
    if (this.#skipped !== undefined) return
    const reply = await this.#ask({ kind: 'close' })
    if (reply.kind !== 'closed') return
    if (reply.digest !== reply.expected) {
      const both = `${reply.digest}, and the workload asks for ${reply.expected}`
      throw new Error(`${this.#entry.name} ended with ${both}: it did other work`)
    }
    this.#digest = reply.digest
  }

  leave(): void {
    this.#child.kill('SIGKILL')
  }

  standing(): Standing {
    return {
      name: this.#entry.name,
      skipped: this.#skipped,
      rates: this.#played.map(({ ms }) => this.#entry.count / (ms / 1_000)),
      latencies: this.#played.flatMap(({ latency }) => latency ?? []),
      residentBytes: this.#played.map(({ residentBytes }) => residentBytes),
      besides: this.#played.map(({ besides }) => besides),
      digest: this.#digest,
    }
  }

  #ask(command: Command): Promise<Reply> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer)
        child.off('message', answered).off('exit', died)
        finish()
      }
      const at = `${this.#entry.name}, at "${command.kind}"`
      const fail = (why: string): void => settle(() => reject(new Error(`${at}: ${why}`)))
      const answered = (reply: Reply): void => {
        if (reply.kind === 'failed') fail(reply.reason)
        else settle(() => resolve(reply))
      }
      const died = (code: number | null, signal: string | null): void => fail(`its process ended (${signal ?? code})`)
      const timer = setTimeout(() => fail(`no answer in ${answerMsMax / 60_000} minutes`), answerMsMax)
      child.on('message', answered).on('exit', died)
      child.send(command)
    })
  }
}

/** `name.ts` beside the sources, `name.js` beside the compiled files. */
function besides(name: string): string {
  return name + (import.meta.url.endsWith('.ts') ? '.ts' : '.js')
}

function compareModule(name: string): string {
  return pathToFileURL(join(projectRoot, 'bench', 'compare', 'peers', name)).href
}
