/**
 * Several databases that hold the same, opened again and again: a process for each opening, in turns, from another
 * one each round. Who comes back with other rows than the plan asks for is thrown out, not printed.
 *
 * Databases are prepared once, by processes that are killed afterwards; then everything is synced, so that nobody's
 * opening waits for the writes of somebody else. The first rounds warm the file cache for all. Cold rounds empty the file
 * cache of the machine before each opening, where we may; modules and programs are loaded before that.
 */
import { execFileSync, fork, type ChildProcess } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { join } from 'node:path'
import type { ContestantOptions, Workload } from '../contest/contestant.js'
import { projectRoot, type Bench, type PeerInput } from '../harness.js'
import type { OpeningMemory, RestartCommand, Restarted, RestartReply } from './restart-stage.js'

export interface RestartEntry {
  /** As the tables say it. */
  readonly name: string
  readonly module: string
  readonly restarter: string
  readonly workload: Workload
  /** Rows or transfers of the plan that the database holds. */
  readonly count: number
  readonly options?: ContestantOptions | undefined
  /** Opens what the entry of this name prepared, instead of a database of its own. */
  readonly opens?: string | undefined
}

export interface RestartRounds {
  readonly warmups: number
  readonly repetitions: number
  readonly coldRepetitions: number
}

export interface RestartStanding {
  readonly name: string
  readonly skipped: string | undefined
  readonly count: number
  readonly ms: readonly number[]
  /** Empty where the file cache cannot be emptied. */
  readonly coldMs: readonly number[]
  readonly memory: readonly OpeningMemory[]
  readonly digest: string | undefined
}

const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const peer = (name: string): string => pathToFileURL(join(projectRoot, 'bench', 'compare', 'peers', name)).href

export const restarterModules = {
  sluicedb: new URL(`./sluicedb${ending}`, import.meta.url).href,
  sqlite: peer('restart-better-sqlite3.mjs'),
  lmdb: peer('restart-lmdb.mjs'),
  redis: peer('restart-redis.mjs'),
  plain: peer('restart-plain.mjs'),
} as const

const stageFile = fileURLToPath(new URL(`./restart-stage${ending}`, import.meta.url))
const stageFlags = ['--expose-gc', ...(ending === '.ts' ? ['--import', 'tsx'] : [])]
/** Loading a database, or opening one, takes at most this long; then it hangs and the run is over. */
const answerMsMax = 15 * 60 * 1_000
const dropCachesFile = '/proc/sys/vm/drop_caches'
const dropPageCacheAndInodes = '3'

export async function restarts(
  b: Bench, entries: readonly RestartEntry[], rounds: RestartRounds,
): Promise<RestartStanding[]> {
  const seats: Seat[] = []
  for (const entry of entries) {
    const lender = seats.find(({ name }) => name === entry.opens)
    if (entry.opens !== undefined && lender === undefined) throw new Error(`no "${entry.opens}" before ${entry.name}`)
    const seat = new Seat(entry, lender?.directory ?? b.directory())
    seat.skipped = lender?.skipped
    seats.push(seat)
    if (lender === undefined) await seat.prepare()
  }
  execFileSync('sync')
  const isColdPossible = rounds.coldRepetitions > 0 && dropFileCache()
  if (rounds.coldRepetitions > 0 && !isColdPossible) b.note('no cold rounds: the file cache can be emptied by root only')
  const turns = async (round: number, work: (seat: Seat) => Promise<void>): Promise<void> => {
    for (let turn = 0; turn < seats.length; turn += 1) {
      const seat = seats[(turn + round) % seats.length] as Seat
      if (seat.skipped === undefined) await work(seat)
    }
  }
  for (let round = 0; round < rounds.warmups + rounds.repetitions; round += 1) {
    await turns(round, async (seat) => {
      const restarted = await seat.reopen(false)
      if (round >= rounds.warmups) seat.restarted.push(restarted)
    })
  }
  for (let round = 0; isColdPossible && round < rounds.coldRepetitions; round += 1) {
    await turns(round, async (seat) => void seat.coldMs.push((await seat.reopen(true)).ms))
  }
  for (const { name, skipped } of seats) if (skipped !== undefined) b.note(`${name} skipped: ${skipped}`)
  return seats.map((seat) => seat.standing())
}

/** The standing of an entry of ours, which must have been opened. */
export function restarted(standings: readonly RestartStanding[], name: string): RestartStanding {
  const standing = standings.find((candidate) => candidate.name === name)
  if (standing === undefined) throw new Error(`no entry "${name}" in this run`)
  if (standing.skipped !== undefined) throw new Error(`${name} could not be opened: ${standing.skipped}`)
  return standing
}

/** Those of `names` that were opened, to stand beside ours. */
export function peersOf(
  standings: readonly RestartStanding[], names: readonly string[], samples: (standing: RestartStanding) => readonly number[],
): PeerInput[] {
  return names.flatMap((name) => {
    const standing = standings.find((candidate) => candidate.name === name)
    if (standing === undefined) throw new Error(`no entry "${name}" in this run`)
    return standing.skipped === undefined && samples(standing).length > 0 ? [{ name, samples: samples(standing) }] : []
  })
}

class Seat {
  readonly directory: string
  readonly restarted: Restarted[] = []
  readonly coldMs: number[] = []
  readonly #entry: RestartEntry
  skipped: string | undefined

  constructor(entry: RestartEntry, directory: string) {
    this.#entry = entry
    this.directory = directory
  }

  get name(): string {
    return this.#entry.name
  }

  async prepare(): Promise<void> {
    await this.#inProcess(async (ask) => {
      const loaded = await ask(this.#load())
      if (loaded.kind === 'missing') this.skipped = loaded.reason
      else await ask({ kind: 'prepare' })
    })
  }

  async reopen(isCold: boolean): Promise<Restarted> {
    return this.#inProcess(async (ask) => {
      await ask(this.#load())
      if (isCold) dropFileCache()
      const reply = await ask({ kind: 'reopen' })
      if (reply.kind !== 'reopened') throw new Error(`${this.name} answered "${reply.kind}" to "reopen"`)
      const { digest, expected } = reply
      if (digest !== expected) throw new Error(`${this.name} came back with ${digest}, and the workload asks for ${expected}`)
      return reply
    })
  }

  standing(): RestartStanding {
    return {
      name: this.name,
      skipped: this.skipped,
      count: this.#entry.count,
      ms: this.restarted.map(({ ms }) => ms),
      coldMs: this.coldMs,
      memory: this.restarted.flatMap(({ memory }) => memory ?? []),
      digest: this.restarted[0]?.digest,
    }
  }

  #load(): RestartCommand {
    const { module, restarter, workload, count, options = {} } = this.#entry
    return { kind: 'load', module, restarter, workload, count, options, directory: this.directory }
  }

  async #inProcess<T>(work: (ask: (command: RestartCommand) => Promise<RestartReply>) => Promise<T>): Promise<T> {
    const child = fork(stageFile, { execArgv: stageFlags })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    try {
      return await work((command) => this.#ask(child, command))
    } finally {
      child.kill('SIGKILL')
      await ended
    }
  }

  #ask(child: ChildProcess, command: RestartCommand): Promise<RestartReply> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer)
        child.off('message', answered).off('exit', died)
        finish()
      }
      const fail = (why: string): void => settle(() => reject(new Error(`${this.name}, at "${command.kind}": ${why}`)))
      const answered = (reply: RestartReply): void => {
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

/** Whether it was emptied. Dirty pages stay in it, therefore the sync. */
function dropFileCache(): boolean {
  if (!existsSync(dropCachesFile)) return false
  execFileSync('sync')
  try {
    writeFileSync(dropCachesFile, dropPageCacheAndInodes)
    return true
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return false
  }
}
