/** The story of the demo, from the parent's side: load, kill, recovery, audit, load, verification. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { transactionTypes } from '../workloads/marketplace/driver.js'
import { workloadDefaults } from '../workloads/marketplace/generator.js'
import { Ledger } from '../workloads/marketplace/ledger.js'
import { criterionNumbers, holds, merge, Verdict, type Finding } from '../workloads/marketplace/verdict.js'
import { Measurements, titles, type Phase } from './measurements.js'
import type { DemoOptions } from './options.js'
import { OwnerProcess, type OwnerListener } from './owner-process.js'
import type { OwnerOptions, Verification } from './protocol.js'
import type { Look, Run } from './summary.js'
import { bar, column, count, milliseconds, sparkline, type Terminal } from './terminal.js'

/** The kill comes after this part of the seconds of load, and not before so many acknowledgements. */
const killedAfter = 0.45
const killedAfterTransactions = 2_000
const patienceMs = 20_000
/** Bounds memory, log and the time of the replay on a machine much faster than ours. */
const plansMax = 120_000
const memoryBytes = 3 * 2 ** 30

const shortNames = { load: 'load', down: 'recovery', audit: 'audit' } as const
const looks = { load: 'under load', kill: 'after the kill', end: 'at the end' } as const

export class Demo {
  readonly #options: DemoOptions
  readonly #terminal: Terminal
  readonly #path: string
  readonly #measurements = new Measurements()
  readonly #ledger = new Ledger()
  readonly #facts: [string, string][] = []
  readonly #looks: Look[] = []
  #underLoad: readonly Finding[] = []
  /** Dashboards are judged by the driver as they are shown; the parent counts. */
  readonly #dashboards = new Verdict(8)
  #owner: OwnerProcess | undefined
  #openMs = 0
  #killedMs = 0
  #doing = 'starting'
  #detail = ''

  constructor(options: DemoOptions, terminal: Terminal) {
    this.#options = options
    this.#terminal = terminal
    this.#path = mkdtempSync(join(options.directory, 'sluice-demo-'))
  }

  /** Never rejects: what goes wrong is part of the result. */
  async run(): Promise<Run> {
    const { customers, products, workers, outstanding, seed, directory } = this.#options
    const sizes = `${count(customers)} customers, ${count(products)} products, ${outstanding} at a time`
    this.#terminal.say(this.#terminal.paint('bold', 'Online Marketplace on SluiceDB'))
    this.#say(`${sizes}, workers ${workers}, seed ${seed}, fsync in ${directory}`)
    this.#terminal.show(() => this.#view())
    let failure: string | undefined
    try {
      await this.#story()
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
    this.#terminal.hide()
    return this.#result(failure)
  }

  /** Kills the owner, if there is one, and removes the database. */
  async abandon(): Promise<void> {
    await this.#owner?.kill()
    this.#owner = undefined
    rmSync(this.#path, { recursive: true, force: true })
  }

  async #story(): Promise<void> {
    const loadMs = this.#options.seconds * 1_000
    let owner = await this.#start('opening')
    this.#doing = 'populating'
    const { requests, populateMs } = await owner.ask({ do: 'populate' })
    this.#say(`populated with ${count(requests)} transactions in ${milliseconds(populateMs)} ms`)

    await this.#loadAndKill(owner, loadMs * killedAfter)
    const acknowledged = count(this.#measurements.total)
    this.#say(
      `${this.#terminal.paint('red', 'SIGKILL')} in mid-load, after ${acknowledged} acknowledged transactions`,
    )

    owner = await this.#start('recovering')
    const down = this.#phase('down', 'SIGKILL until open again', this.#killedMs)
    const recovery = `${milliseconds(down)} ms after SIGKILL, ${milliseconds(this.#openMs)} ms of it in open()`
    this.#facts.push(['Recovery', recovery])
    this.#say(`recovered: ${recovery}`)

    const recovered = await this.#verify(owner, false, looks.kill)
    const inDoubt = `${count(recovered.inDoubt)} transactions had committed without an answer`
    this.#say(`audited ${count(recovered.commits)} commits and ${count(recovered.rows)} rows; ${inDoubt}`)

    await this.#load(owner, loadMs * (1 - killedAfter))
    const { repeated: answered } = this.#measurements.byOutcome
    const repeated = `${count(answered)} requests were answered from the record, not run again`
    this.#say(`went on; ${repeated}`)
    this.#facts.push(['In doubt at the kill', `${inDoubt}; ${repeated}`])

    const final = await this.#verify(owner, true, looks.end)
    const replayed = `${count(final.replayed)} transactions in ${milliseconds(final.replayMs)} ms`
    this.#say(`replayed serially: ${replayed}`)
    this.#facts.push(
      ['Serial replay', replayed],
      ['Commits in the log', count(final.commits)],
      ['Rows at the end', count(final.rows)],
      ['Invoices seen by the subscriber', count(this.#measurements.invoicesSeen)],
      [
        'Verification',
        `${milliseconds(recovered.verifyMs)} ms after the kill, ${milliseconds(final.verifyMs)} ms at the end`,
      ],
    )
    this.#doing = 'closing'
    await owner.close()
    this.#owner = undefined
  }

  async #start(doing: string): Promise<OwnerProcess> {
    this.#doing = doing
    const { customers, products, seed, skew, workers, outstanding } = this.#options
    const workload = { ...workloadDefaults, customers, products, seed, skew }
    const path = join(this.#path, 'database')
    const options: OwnerOptions = { path, workers, outstanding, plansMax, memoryBytes, workload }
    const owner = OwnerProcess.start(options, this.#listener())
    this.#owner = owner
    this.#openMs = await owner.opened()
    return owner
  }

  #listener(): OwnerListener {
    return {
      acknowledged: (acknowledgement) => {
        const { plan, step, type, outcome } = acknowledgement
        this.#measurements.record(acknowledgement)
        if (type !== 'dashboard') this.#ledger.acknowledge(plan, step, outcome === 'refused')
        else
          this.#dashboards.expect(outcome === 'read', () => `dashboard ${plan} showed totals of another list`)
      },
      seen: (plan) => {
        this.#measurements.invoicesSeen += 1
        this.#ledger.see(plan)
      },
      looked: (findings) => {
        this.#underLoad = merge(this.#underLoad, findings)
      },
      progress: (text) => {
        this.#detail = text
      },
    }
  }

  async #loadAndKill(owner: OwnerProcess, loadMs: number): Promise<void> {
    this.#doing = 'load'
    this.#measurements.start()
    const ended = owner.ask({ do: 'load' }).then(() => {
      throw new Error('The load ended before the owner was killed.')
    })
    let over = false
    ended.catch(() => (over = true)) // when it is killed, nobody waits for this any more
    const due = (): boolean => {
      const late = this.#measurements.elapsed >= loadMs || this.#ledger.plans >= plansMax * killedAfter
      return late && this.#measurements.total >= killedAfterTransactions
    }
    const tooFew = 'There are too few acknowledgements to kill the owner in mid-load.'
    await Promise.race([ended, until(() => over || due(), tooFew, loadMs + patienceMs)])
    this.#killedMs = this.#measurements.elapsed
    await owner.kill()
    this.#owner = undefined
    this.#phase('load', 'load', 0, this.#killedMs)
  }

  async #load(owner: OwnerProcess, loadMs: number): Promise<void> {
    this.#doing = 'load'
    const from = this.#measurements.elapsed
    const load = owner.ask({ do: 'load', ledger: this.#ledger.pack() })
    await Promise.race([load, pause(loadMs)])
    owner.stop()
    const { records } = await load
    await until(() => owner.records === records, 'Acknowledgements were announced and did not arrive.')
    this.#phase('load', 'load', from)
  }

  async #verify(owner: OwnerProcess, replay: boolean, title: string): Promise<Verification> {
    this.#doing = replay ? 'replaying' : 'auditing'
    const from = this.#measurements.elapsed
    const { verification } = await owner.ask({ do: 'verify', ledger: this.#ledger.pack(), replay })
    this.#detail = ''
    if (!replay) this.#phase('audit', 'audit of the recovered state', from)
    this.#looks.push({ title, findings: verification.findings })
    return verification
  }

  /** Returns how long it was. */
  #phase(kind: Phase['kind'], name: string, from: number, to = this.#measurements.elapsed): number {
    this.#measurements.phases.push({ kind, name, short: shortNames[kind], from, to })
    return to - from
  }

  /**
   * A criterion that nobody asked for has not been met, nor has one that a certain look had to ask for and
   * did not.
   */
  #result(failure: string | undefined): Run {
    const underLoad = { title: looks.load, findings: merge(this.#underLoad, [this.#dashboards.finding()]) }
    const allLooks = [underLoad, ...this.#looks]
    const found = merge(...allLooks.map((look) => look.findings))
    const findings = criterionNumbers.map((criterion): Finding => {
      const known = found.find((finding) => finding.criterion === criterion)
      return known ?? { criterion, checked: 0, violations: 0, examples: [] }
    })
    const asked = (title: string, criterion: number): boolean => {
      const look = allLooks.find((candidate) => candidate.title === title)
      return look?.findings.some((finding) => finding.criterion === criterion && finding.checked > 0) ?? false
    }
    const complete =
      [1, 2, 3, 4, 5, 6, 8, 9, 10, 12].every(
        (criterion) => asked(looks.kill, criterion) && asked(looks.end, criterion),
      ) && asked(looks.end, 11)
    return {
      passed: failure === undefined && complete && findings.every(holds),
      failure,
      findings,
      looks: allLooks,
      facts: this.#facts,
      measurements: this.#measurements,
      killedMs: this.#killedMs,
    }
  }

  #say(line: string): void {
    this.#terminal.say(`  ${line}`)
  }

  /** What is being redrawn; the first line alone must say enough. */
  #view(): readonly string[] {
    const { elapsed, total, bins } = this.#measurements
    const loading = this.#doing === 'load'
    const rate = `${count(this.#measurements.recentPerSecond())} transactions/s, ${count(total)} acknowledged`
    const seconds = column(`${(elapsed / 1_000).toFixed(1)} s`, 7, true)
    const doing = this.#terminal.paint('cyan', column(this.#doing, 12))
    const first = `${doing} ${seconds}  ${loading ? rate : this.#detail || '…'}`
    if (!this.#terminal.live) return [first]
    const done = this.#loadedMs() / (this.#options.seconds * 1_000)
    const graph = this.#terminal.paint('cyan', sparkline(bins.slice(0, -1), 48))
    const counts = transactionTypes.map(
      (type) => `${titles[type]} ${count(this.#measurements.countOf(type))}`,
    )
    return [first, `${bar(done, 24)} ${graph}`, this.#terminal.paint('dim', counts.join('   '))]
  }

  #loadedMs(): number {
    const { loadMs, phases, elapsed } = this.#measurements
    return this.#doing === 'load' ? loadMs + elapsed - (phases.at(-1)?.to ?? 0) : loadMs
  }
}

/** Looks again and again, for a bounded time. */
async function until(ready: () => boolean, otherwise: string, patience = patienceMs): Promise<void> {
  for (const since = performance.now(); !ready(); await pause(5)) {
    if (performance.now() - since > patience) throw new Error(otherwise)
  }
}
