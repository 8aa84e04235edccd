/**
 * Our side of TPC-C. Options, beside those of sluicedb.ts:
 *
 *   how        'flight': a closed loop, as many callers as `inFlight`, each waiting for its answer before its next call
 *              'many': submitMany of `chunk`, of NewOrders only
 *              'open': an open loop, a transaction every `1 / perSecond`, whether the earlier ones were answered or not
 *
 * Latencies of the open loop count from when a transaction was due, not from when it was sent: while the database
 * (or the generator) stands still, those that should have been sent meanwhile grow older, as they would at a user's.
 */
import { performance } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import type { Database } from 'sluicedb'
import type { LatencyRecorder } from '../statistics.js'
import { counter, keepInFlight } from '../workloads/bank-driver.js'
import application from '../workloads/tpcc/app.js'
import { checkConditions, holds } from '../workloads/tpcc/conditions.js'
import { populate, runTransaction, submitNewOrders } from '../workloads/tpcc/driver.js'
import type { TpccPlan } from '../workloads/tpcc/plan.js'
import { stateOf } from '../workloads/tpcc/state.js'
import { tallyOf } from '../workloads/tpcc/state-tally.js'
import type { Contestant, ContestantOptions, Player, Task } from './contestant.js'
import { openFor } from './open-for.js'

export const tpcc: Contestant = async (task: Task): Promise<Player> => {
  if (task.kind !== 'tpcc') throw new TypeError(`TPC-C cannot play "${task.kind}"`)
  const { plan, data } = task
  const db = await openFor(task, application)
  await populate(db, plan)
  return {
    play: playerOf(task.options, db, plan),
    digest() {
      const state = stateOf(db)
      for (const finding of checkConditions(state, plan.scale)) {
        if (!holds(finding)) throw new Error(`condition ${finding.condition} (${finding.name}) is broken: ${JSON.stringify(finding)}`)
      }
      return data.tpcc.tpccDigest(tallyOf(state))
    },
    close: () => db.close(),
  }
}

function playerOf(options: ContestantOptions, db: Database, plan: TpccPlan): Player['play'] {
  const { how, inFlight = 1_024, chunk = 256, perSecond = 0 } = options
  const call = (n: number): Promise<unknown> => runTransaction(db, plan, n)
  switch (how) {
    case 'flight':
      return (first, count, latency) => keepInFlight(Number(inFlight), counter(first, count), timed(call, latency))
    case 'many':
      return (first, count) => submitNewOrders(db, plan, first, count, Number(chunk))
    case 'open':
      return (first, count, latency) => keepRate(Number(perSecond), first, count, call, latency)
    default:
      throw new TypeError(`"how" is flight, many or open, not ${String(how)}`)
  }
}

function timed(call: (n: number) => Promise<unknown>, latency: LatencyRecorder | undefined): (n: number) => Promise<unknown> {
  if (latency === undefined) return call
  return async (n) => {
    const sentMs = performance.now()
    await call(n)
    latency.record(performance.now() - sentMs)
  }
}

/** So many that are due and not yet answered say that the rate is beyond what the database does. */
const overdueMax = 50_000

async function keepRate(
  perSecond: number, first: number, count: number, call: (n: number) => Promise<unknown>, latency: LatencyRecorder | undefined,
): Promise<void> {
  const intervalMs = 1_000 / perSecond
  const startMs = performance.now()
  let open = 0
  let failed: { readonly error: unknown } | undefined
  const send = async (n: number, dueMs: number): Promise<void> => {
    open += 1
    try {
      await call(n)
      latency?.record(performance.now() - dueMs)
    } catch (error) {
      failed ??= { error }
    }
    open -= 1
  }
  for (let sent = 0; sent < count; await turn()) {
    for (const nowMs = performance.now(); sent < count; sent += 1) {
      const dueMs = startMs + sent * intervalMs
      if (dueMs > nowMs) break
      void send(first + sent, dueMs)
    }
    if (failed !== undefined) throw failed.error
    if (open > overdueMax) throw new Error(`${perSecond} transactions a second are more than the database does`)
  }
  while (open > 0) await turn()
  if (failed !== undefined) throw failed.error
}
