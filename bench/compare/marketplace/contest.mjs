/**
 * The Online Marketplace, ours beside the usual way: the same services, generator, clients and criteria, one after the
 * other in one run. Ours: one process, all services, a checkout is one transaction. The peer: a process and an SQLite
 * file for each service, events over NATS JetStream.
 *
 * Both are durable at the answer. A checkout is over when its last effect can be read: for ours that is the answer.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createHistogram } from 'node:perf_hooks'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const compiled = new URL('../../../dist/', import.meta.url)
const load = (path) => import(new URL(path, compiled).href)
const { open } = await load('index.js')
const { resultsDirectory } = await load('bench/harness.js')
const { default: application } = await load('bench/workloads/marketplace/app.js')
const { checkState } = await load('bench/workloads/marketplace/criteria.js')
const { Driver } = await load('bench/workloads/marketplace/driver.js')
const { submit, Workload, workloadDefaults } = await load('bench/workloads/marketplace/generator.js')
const { merge } = await load('bench/workloads/marketplace/verdict.js')

const populationAtOnce = 256
const quietMsMax = 120_000

/** Skipped, with the reason, where the peer cannot play: it is never made up. */
export async function marketplace(options) {
  const ours = await play(options, startOurs)
  const peer = await import('../peers/nats-server.mjs').then(({ version }) => {
    if (version === undefined) return { skipped: 'nats-server is not installed' }
    return import('./peer.mjs').then(({ startPeer }) => play(options, startPeer))
  }).catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    return { skipped: error.message }
  })
  return { ours, peer }
}

async function startOurs(directory) {
  const db = await open(application, { path: join(directory, 'database'), workers: 1, durability: 'fsync', memory: { bytes: 2 ** 31 } })
  return { db, onTheirWay: 0, snapshot: () => db.snapshot(), cpuSeconds: () => 0, kill: () => db.close() }
}

async function play({ plans, customers, products, outstanding, looks }, start) {
  const disk = join(resultsDirectory, 'tmp') // on the disk of the project, as those of all benchmarks
  mkdirSync(disk, { recursive: true })
  const directory = mkdtempSync(join(disk, 'marketplace-'))
  const options = { ...workloadDefaults, customers, products }
  const since = new Map() // checkouts under way, by instance
  const latencies = createHistogram()
  let refusedLate = 0
  const over = (instance) => {
    const begun = since.get(instance)
    if (begun === undefined) return
    since.delete(instance)
    latencies.record(Math.max(1, Math.round((performance.now() - begun) * 1_000)))
  }
  const isOurs = start === startOurs
  const finished = (instance, refused) => {
    if (refused) refusedLate += 1
    over(instance)
  }
  const contestant = await start(directory, finished)
  try {
    const population = [...new Workload(options).population()]
    for (let at = 0; at < population.length; at += populationAtOnce)
      await Promise.all(population.slice(at, at + populationAtOnce).map((step) => submit(contestant.db, step)))
    await quiet(contestant)

    let transactions = 0
    let checkouts = 0
    const db = {
      call: (procedure, input, more) => contestant.db.call(procedure, input, more),
      submit: (procedure, input, more) => {
        if (procedure.name !== 'cart.checkout') return contestant.db.submit(procedure, input, more)
        since.set(input.instance, performance.now())
        const answer = contestant.db.submit(procedure, input, more)
        const refused = () => since.delete(input.instance)
        answer.then(() => isOurs && over(input.instance), refused)
        return answer
      },
    }
    const driver = new Driver({
      db,
      workload: new Workload(options),
      outstanding,
      plansMax: plans,
      acknowledged: ({ type, outcome }) => {
        transactions += 1
        if (type === 'checkout' && outcome === 'committed') checkouts += 1
      },
    })
    const cpu = process.cpuUsage()
    const cpuBefore = contestant.cpuSeconds()
    const began = performance.now()
    let judgedMs = 0
    let found = []
    let looked = 0
    const look = () => {
      const from = performance.now()
      const snapshot = contestant.snapshot()
      found = merge(found, checkState(snapshot, options.quantity))
      snapshot[Symbol.dispose]()
      looked += 1
      judgedMs += performance.now() - from
    }
    let isRunning = true
    const run = driver.run().finally(() => (isRunning = false))
    for (let place = 1; place <= looks; place += 1) {
      while (isRunning && driver.drawn < (plans * place) / (looks + 1)) await sleep(1)
      if (isRunning) look()
    }
    await run
    await quiet(contestant)
    const ended = performance.now()
    const seconds = (ended - began - judgedMs) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const cpuSeconds = (user + system) / 1e6 - judgedMs / 1_000 + contestant.cpuSeconds() - cpuBefore
    return {
      perSecond: transactions / seconds,
      checkoutP50Ms: latencies.percentile(50) / 1_000,
      checkoutP99Ms: latencies.percentile(99) / 1_000,
      cpuSecondsPer1000: (cpuSeconds * 1_000) / checkouts,
      transactions,
      checkouts,
      refusedLate,
      looked,
      broken: found.filter(({ violations }) => violations > 0),
      asked: found.length,
    }
  } finally {
    await contestant.kill()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Until nothing is on its way any more. */
async function quiet(contestant) {
  for (const since = performance.now(); contestant.onTheirWay > 0; await sleep(2))
    if (performance.now() - since > quietMsMax) throw new Error(`${contestant.onTheirWay} calls do not come to an end`)
}
