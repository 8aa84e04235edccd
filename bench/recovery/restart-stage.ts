/**
 * The process in which one database is prepared, or opened again: one of its own for each opening, as a restart is.
 * Modules are loaded before the clock starts, for everybody; a server is started by it.
 *
 * The parent kills this process when it has what it asked for. That is the end which recovery is for, and it
 * leaves the files as they are, so that the next opening finds the same.
 */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectedDigest, planOf, workloadData, type ContestantOptions, type Task, type Workload } from '../contest/contestant.js'
import { forgetPeak, memoryOf } from './process-memory.js'
import type { Restarter, RestarterModule } from './restarter.js'

export interface Setting {
  readonly module: string
  readonly restarter: string
  readonly workload: Workload
  /** Rows or transfers of the plan that are in the database. */
  readonly count: number
  readonly directory: string
  readonly options: ContestantOptions
}

export type RestartCommand =
  | ({ readonly kind: 'load' } & Setting)
  | { readonly kind: 'prepare' }
  | { readonly kind: 'reopen' }

export interface Restarted {
  readonly ms: number
  readonly digest: string
  readonly expected: string
  /** Undefined where the system does not tell. */
  readonly memory: OpeningMemory | undefined
}

export interface OpeningMemory {
  /** Before opening, after a full collection: what Node itself takes. 0 for a process that opening started. */
  readonly beforeBytes: number
  readonly peakBytes: number
  /** Open and answering, after a full collection. */
  readonly openBytes: number
}

export type RestartReply =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'missing'; readonly reason: string }
  | { readonly kind: 'prepared' }
  | ({ readonly kind: 'reopened' } & Restarted)
  | { readonly kind: 'failed'; readonly reason: string }

/** Threads free what they hold a little later than we collect. */
const settleMs = 100

let stage: { readonly restarter: Restarter; readonly task: Task; readonly count: number } | undefined

async function obey(command: RestartCommand): Promise<RestartReply> {
  if (command.kind === 'load') return load(command)
  if (stage === undefined) throw new Error(`"${command.kind}" before "load"`)
  const { restarter, task, count } = stage
  if (command.kind === 'reopen') return { kind: 'reopened', ...(await reopen(restarter, task, count)) }
  await restarter.prepare(task)
  return { kind: 'prepared' }
}

async function load(setting: Setting): Promise<RestartReply> {
  let module: RestarterModule
  try {
    module = (await import(setting.module)) as RestarterModule
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return { kind: 'missing', reason: (error as Error).message.split('\n')[0] ?? '' }
  }
  const restarter = module.restarters[setting.restarter]
  if (restarter === undefined) throw new Error(`${setting.module} has no restarter "${setting.restarter}"`)
  const { directory, options, count } = setting
  stage = { restarter, task: { ...planOf(setting.workload), data: workloadData, directory, options }, count }
  return { kind: 'loaded' }
}

async function reopen(restarter: Restarter, task: Task, count: number): Promise<Restarted> {
  await restarter.warmUp?.(task)
  collect()
  const before = memoryOf(process.pid)
  const canForget = forgetPeak()

  const start = performance.now()
  const reopened = await restarter.reopen(task)
  const ms = performance.now() - start
  try {
    const { pid = process.pid } = reopened
    const peak = memoryOf(pid)
    collect()
    await sleep(settleMs)
    collect()
    const after = memoryOf(pid)
    const isOther = pid !== process.pid
    const memory = before === undefined || peak === undefined || after === undefined || !(isOther || canForget)
      ? undefined
      : {
          beforeBytes: isOther ? 0 : before.residentBytes,
          peakBytes: Math.max(peak.peakBytes, after.residentBytes),
          openBytes: after.residentBytes,
        }
    return { ms, memory, digest: await reopened.digest(), expected: expectedDigest(task, count) }
  } finally {
    await reopened.leave()
  }
}

function collect(): void {
  globalThis.gc?.()
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error)
}

// Nobody is left to work for. Servers that we started notice that we are gone.
process.on('disconnect', () => process.exit())

process.on('message', (command: RestartCommand) => {
  obey(command)
    .catch((error: unknown): RestartReply => ({ kind: 'failed', reason: reasonOf(error) }))
    .then((reply) => process.send?.(reply))
})
