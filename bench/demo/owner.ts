/**
 * The process that owns the database. It does what its parent says, and does not know that it will be killed.
 *
 * While the load runs it also takes a snapshot now and then and asks a few customers and products for
 * criteria 1–7, 9 and 10, and subscribes to the invoices, telling the parent of each one it has seen.
 */
import { Socket } from 'node:net'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import { open, SluiceError, type Database } from 'sluicedb'
import application from '../workloads/marketplace/app.js'
import { checkState, spotCheck } from '../workloads/marketplace/criteria.js'
import { Driver } from '../workloads/marketplace/driver.js'
import { Inputs, sellerOf, submit, Workload, type Step } from '../workloads/marketplace/generator.js'
import { Ledger, type PackedLedger } from '../workloads/marketplace/ledger.js'
import { LifecycleAudit } from '../workloads/marketplace/lifecycle.js'
import { DurabilityAudit, readLog, type LogVisitor } from '../workloads/marketplace/log.js'
import { order } from '../workloads/marketplace/order.js'
import { Random } from '../workloads/marketplace/random.js'
import { Replay } from '../workloads/marketplace/replay.js'
import { tables } from '../workloads/marketplace/services.js'
import { merge } from '../workloads/marketplace/verdict.js'
import { RecordWriter, type Command, type OwnerOptions, type Reply, type Verification } from './protocol.js'

const acknowledgementsDescriptor = 3
const populationAtOnce = 1_024
const spotCheckEveryMs = 500
const spotCheckCustomers = 8
const spotCheckProducts = 40
const progressEveryCommits = 20_000

class Owner {
  readonly #options: OwnerOptions
  readonly #db: Database
  readonly #pipe = new Socket({ fd: acknowledgementsDescriptor, readable: false, writable: true })
  readonly #records = new RecordWriter(this.#pipe)
  #driver: Driver | undefined

  constructor(options: OwnerOptions, db: Database) {
    this.#options = options
    this.#db = db
  }

  async obey(command: Command): Promise<Reply | undefined> {
    switch (command.do) {
      case 'populate':
        return this.#populate()
      case 'load':
        return this.#load(command.ledger)
      case 'stop':
        this.#driver?.stop()
        return undefined
      case 'verify':
        return {
          did: 'verify',
          verification: await this.#verify(Ledger.unpack(command.ledger), command.replay),
        }
      case 'close':
        await this.#db.close()
        this.#pipe.end()
        return { did: 'close' }
    }
  }

  async #populate(): Promise<Reply> {
    const since = performance.now()
    const workload = new Workload(this.#options.workload)
    let requests = 0
    let together: Step[] = []
    const send = async (): Promise<void> => {
      await Promise.all(together.map((step) => submit(this.#db, step)))
      requests += together.length
      together = []
    }
    for (const step of workload.population()) {
      together.push(step)
      if (together.length === populationAtOnce) await send()
    }
    await send()
    return { did: 'populate', requests, populateMs: performance.now() - since }
  }

  async #load(packed: PackedLedger | undefined): Promise<Reply> {
    const { outstanding, plansMax } = this.#options
    const driver = new Driver({
      db: this.#db,
      workload: new Workload(this.#options.workload),
      outstanding,
      plansMax,
      ledger: packed && Ledger.unpack(packed),
      acknowledged: (acknowledgement) => this.#records.acknowledge(acknowledgement),
    })
    this.#driver = driver
    const ended = new AbortController()
    const subscriber = this.#subscribe(ended.signal)
    const spotChecks = this.#spotChecks(ended.signal)
    await driver.run().finally(() => ended.abort())
    await Promise.all([subscriber, spotChecks])
    this.#records.flush()
    return { did: 'load', records: this.#records.records, plans: driver.drawn }
  }

  async #subscribe(signal: AbortSignal): Promise<void> {
    for await (const event of this.#db.events(order.events.invoiceIssued, { signal }))
      this.#records.see(event.payload.instance)
  }

  async #spotChecks(signal: AbortSignal): Promise<void> {
    const { seed, customers, products, quantity } = this.#options.workload
    const random = new Random(seed, Date.now() % 0xffff)
    while (!signal.aborted) {
      await pause(spotCheckEveryMs, undefined, { signal }).catch(() => undefined)
      using snapshot = this.#db.snapshot()
      await turn() // others commit meanwhile
      const sample = {
        customers: Array.from({ length: spotCheckCustomers }, () => random.between(0, customers - 1)),
        products: Array.from({ length: spotCheckProducts }, () => {
          const product = random.between(0, products - 1)
          return { seller: sellerOf(product), product }
        }),
        quantity,
      }
      tell({ did: 'look', findings: spotCheck(snapshot, sample) })
    }
  }

  async #verify(ledger: Ledger, withReplay: boolean): Promise<Verification> {
    const since = performance.now()
    const { workload, plansMax } = this.#options
    const durability = new DurabilityAudit(ledger, new Workload(workload).population())
    const lifecycle = new LifecycleAudit()
    const fresh = withReplay
      ? await open(application, { workers: 0, memory: { bytes: this.#options.memoryBytes } })
      : undefined
    const replay = fresh && new Replay(fresh, new Inputs(workload, plansMax))
    try {
      const visitors: LogVisitor[] = [durability, lifecycle, progress()]
      if (replay) visitors.push(replay)
      const commits = await readLog(this.#db, visitors)
      tell({ did: 'progress', text: `${commits} commits read, looking at every row` })
      await turn()
      using snapshot = this.#db.snapshot()
      durability.finish(snapshot)
      replay?.finish(snapshot)
      await turn()
      const findings = merge(
        checkState(snapshot, workload.quantity),
        lifecycle.findings(),
        [durability.verdict.finding()],
        replay ? [replay.verdict.finding()] : [],
      )
      return {
        findings,
        commits,
        rows: tables.reduce((sum, { table }) => sum + snapshot.table(table).count(), 0),
        inDoubt: durability.inDoubt,
        replayed: replay?.replayed ?? 0,
        replayMs: replay?.milliseconds ?? 0,
        verifyMs: performance.now() - since,
      }
    } finally {
      await fresh?.close()
    }
  }
}

function progress(): LogVisitor {
  let commits = 0
  return {
    visit(): void | Promise<void> {
      commits += 1
      if (commits % progressEveryCommits !== 0) return
      tell({ did: 'progress', text: `${commits} commits read` })
      return turn()
    },
  }
}

function tell(reply: Reply): void {
  process.send?.(reply)
}

function fail(error: unknown): void {
  const code = SluiceError.is(error) ? `${error.code}: ` : ''
  tell({
    did: 'fail',
    message: code + (error instanceof Error ? (error.stack ?? error.message) : String(error)),
  })
  process.exitCode = 1
}

const options = JSON.parse(process.argv[2] ?? '{}') as OwnerOptions
const since = performance.now()
const orphaned = (): void => process.exit(1)
process.on('disconnect', orphaned) // nobody is left to answer
try {
  const db = await open(application, {
    path: options.path,
    workers: options.workers,
    durability: 'fsync',
    memory: { bytes: options.memoryBytes },
  })
  const owner = new Owner(options, db)
  process.on('message', (command: Command) => {
    owner.obey(command).then((reply) => {
      if (reply) tell(reply)
      if (reply?.did === 'close') leave()
    }, fail)
  })
  tell({ did: 'open', openMs: performance.now() - since })
} catch (error) {
  fail(error)
  leave()
}

/** Without the channel nothing keeps this process alive: if it stays, the database does. */
function leave(): void {
  process.off('disconnect', orphaned)
  process.disconnect()
}
