/**
 * The process in which one contestant plays. It opens the contestant, waits to be told to play, and says how long it
 * took:
 * the same clock around the same call for everybody. Between two turns it is idle, so that the others have the machine.
 *
 * The resident memory is taken after a full collection, and counts from before the database was opened.
 */
import { performance } from 'node:perf_hooks'
import { LatencyRecorder, type Latency } from '../statistics.js'
import { expectedDigest, planOf, workloadData } from './contestant.js'
import type { ContestantModule, ContestantOptions, Plan, Player, Workload } from './contestant.js'

export type Command =
  | { readonly kind: 'open'; readonly module: string; readonly contestant: string; readonly workload: Workload
      readonly directory: string; readonly options: ContestantOptions }
  | { readonly kind: 'play'; readonly count: number; readonly latency: boolean }
  | { readonly kind: 'close' }

export interface Played {
  readonly ms: number
  readonly latency: Latency | undefined
  readonly residentBytes: number
  /** What the contestant did besides: checkpoints. */
  readonly besides: number
}

export interface Closed {
  readonly digest: string
  readonly expected: string
}

export type Reply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'missing'; readonly reason: string }
  | ({ readonly kind: 'played' } & Played)
  | ({ readonly kind: 'closed' } & Closed)
  | { readonly kind: 'failed'; readonly reason: string }

interface Stage {
  readonly player: Player
  readonly plan: Plan
  readonly residentAtStart: number
  operations: number
}

let stage: Stage | undefined

async function obey(command: Command): Promise<Reply> {
  if (command.kind === 'open') return open(command)
  if (stage === undefined) throw new Error(`"${command.kind}" before "open"`)
  return command.kind === 'play' ? play(stage, command.count, command.latency) : close(stage)
}

async function open(command: Command & { kind: 'open' }): Promise<Reply> {
  let module: ContestantModule
  try {
    module = (await import(command.module)) as ContestantModule
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    return { kind: 'missing', reason: (error as Error).message.split('\n')[0] ?? '' }
  }
  const contestant = module.contestants[command.contestant]
  if (contestant === undefined) throw new Error(`${command.module} has no contestant "${command.contestant}"`)
  const plan = planOf(command.workload)
  const residentAtStart = residentBytes()
  const { directory, options } = command
  const player = await contestant({ ...plan, data: workloadData, directory, options })
  stage = { player, plan, residentAtStart, operations: 0 }
  return { kind: 'opened' }
}

async function play(on: Stage, count: number, withLatency: boolean): Promise<Reply> {
  const recorder = withLatency ? new LatencyRecorder(count) : undefined
  const start = performance.now()
  await on.player.play(on.operations, count, recorder)
  const ms = performance.now() - start
  await on.player.settle?.()
  const besides = on.player.besides?.() ?? 0
  on.operations += count
  const grown = residentBytes() - on.residentAtStart
  return { kind: 'played', ms, latency: recorder?.summary(), residentBytes: grown, besides }
}

async function close(on: Stage): Promise<Reply> {
  const digest = await on.player.digest()
  await on.player.close()
  return { kind: 'closed', digest, expected: expectedDigest(on.plan, on.operations) }
}

function residentBytes(): number {
  globalThis.gc?.()
  return process.memoryUsage.rss()
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error)
}

// Nobody is left to play for, whether all is said or the parent is gone.
process.on('disconnect', () => process.exit())

process.on('message', (command: Command) => {
  obey(command)
    .catch((error: unknown): Reply => ({ kind: 'failed', reason: reasonOf(error) }))
    .then((reply) => {
      process.send?.(reply)
      if (reply.kind === 'closed') process.disconnect()
    })
})
