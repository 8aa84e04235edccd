/**
 * A contestant does one workload with one database. Ours and the peers keep the same contract, get the same data, and
 * are timed by the same few lines (stage.ts): each plays in a process of its own, and the processes take turns
 * (contest.ts).
 */
import type { LatencyRecorder } from '../statistics.js'
import { lastName } from '../workloads/tpcc/drawing.js'
import { tpccInput, tpccPlan, transactionKinds, type TpccPlan } from '../workloads/tpcc/plan.js'
import { Population } from '../workloads/tpcc/population.js'
import type { TpccSettings } from '../workloads/tpcc/scale.js'
import { tallyOf } from '../workloads/tpcc/state-tally.js'
import { expectedTally, tpccDigest } from '../workloads/tpcc/tally.js'
import { customerRow, smallBankKinds, smallBankPlan } from '../workloads/smallbank-plan.js'
import type { SmallBankPlan, SmallBankSettings } from '../workloads/smallbank-plan.js'
import { smallBankDigest, SmallBankWitness } from '../workloads/smallbank-witness.js'
import { newFields, rowKey, ycsbKinds, ycsbPlan, type YcsbPlan, type YcsbSettings } from '../workloads/ycsb-plan.js'
import { fieldNames, fieldText, modifiedText } from '../workloads/ycsb-text.js'
import { ycsbDigest, YcsbWitness } from '../workloads/ycsb-witness.js'
import { eventOf, eventPlan, type EventPlan, eventsDigest, type EventSettings, EventWitness } from '../workloads/event-plan.js'
import { loadDigest, readDigest, rowPlan, rowsDigest, sumDigest, wideRow } from '../workloads/row-plan.js'
import type { RowPlan, RowSettings } from '../workloads/row-plan.js'
import { accountRow, bankDigest, transferDigest, transferPlan } from '../workloads/transfer-plan.js'
import type { TransferPlan, TransferSettings } from '../workloads/transfer-plan.js'

/** The contestant's own choices: threads, batching, what is read. Never the data. */
export type ContestantOptions = Readonly<Record<string, string | number | boolean>>

/** What a contest is about: settings that any process can draw the same plan from. */
export type Workload =
  | { readonly kind: 'transfer'; readonly settings: TransferSettings }
  | { readonly kind: 'read'; readonly settings: RowSettings }
  | { readonly kind: 'load'; readonly settings: RowSettings }
  | { readonly kind: 'tpcc'; readonly settings: TpccSettings }
  | { readonly kind: 'ycsb'; readonly settings: YcsbSettings }
  | { readonly kind: 'smallbank'; readonly settings: SmallBankSettings }
  | { readonly kind: 'events'; readonly settings: EventSettings }

/**
 * The rows that contestants load and the fingerprints of what they hold: handed over, so that peers import nothing of
 * ours.
 */
export const workloadData = {
  accountRow, wideRow, bankDigest, sumDigest, rowsDigest,
  tpcc: { Population, tpccInput, transactionKinds, lastName, tallyOf, tpccDigest },
  ycsb: { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText, modifiedText },
  smallBank: { SmallBankWitness, smallBankKinds, customerRow },
  events: { EventWitness, eventOf },
} as const

export type Task = Plan & {
  readonly data: typeof workloadData
  readonly directory: string
  readonly options: ContestantOptions
}
export type Plan =
  | { readonly kind: 'transfer'; readonly plan: TransferPlan }
  | { readonly kind: 'read'; readonly plan: RowPlan }
  | { readonly kind: 'load'; readonly plan: RowPlan }
  | { readonly kind: 'tpcc'; readonly plan: TpccPlan }
  | { readonly kind: 'ycsb'; readonly plan: YcsbPlan }
  | { readonly kind: 'smallbank'; readonly plan: SmallBankPlan }
  | { readonly kind: 'events'; readonly plan: EventPlan }

export interface Player {
  /** Does the operations `first` to `first + count` of the plan. The clock runs for the whole of it. */
  play(first: number, count: number, latency: LatencyRecorder | undefined): Promise<void> | void
  /** Ends what still runs beside the operations; the clock does not. */
  settle?(): Promise<void> | void
  /** How much of that there was, since the last time it was asked. */
  besides?(): number
  /** What came out, to be compared with what the plan itself reckons after as many operations. */
  digest(): Promise<string> | string
  close(): Promise<void> | void
}

/** Opens the database and loads what the workload starts from; not timed. */
export type Contestant = (task: Task) => Promise<Player> | Player

/** A module of contestants, by name. */
export interface ContestantModule {
  readonly contestants: Readonly<Record<string, Contestant>>
}

export function planOf(workload: Workload): Plan {
  switch (workload.kind) {
    case 'transfer':
      return { kind: 'transfer', plan: transferPlan(workload.settings) }
    case 'read':
    case 'load':
      return { kind: workload.kind, plan: rowPlan(workload.settings) }
    case 'tpcc':
      return { kind: 'tpcc', plan: tpccPlan(workload.settings) }
    case 'ycsb':
      return { kind: 'ycsb', plan: ycsbPlan(workload.settings) }
    case 'smallbank':
      return { kind: 'smallbank', plan: smallBankPlan(workload.settings) }
    case 'events':
      return { kind: 'events', plan: eventPlan(workload.settings) }
  }
}

/** What every contestant's digest must be after the first `count` operations of the plan. */
export function expectedDigest(plan: Plan, count: number): string {
  switch (plan.kind) {
    case 'transfer':
      return transferDigest(plan.plan, count)
    case 'read':
      return readDigest(plan.plan, count)
    case 'load':
      return loadDigest(count)
    case 'tpcc':
      return tpccDigest(expectedTally(plan.plan, count))
    case 'ycsb':
      return ycsbDigest(plan.plan, count)
    case 'smallbank':
      return smallBankDigest(plan.plan, count)
    case 'events':
      return eventsDigest(count)
  }
}
