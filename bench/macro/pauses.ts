/**
 * The longest time that a thread stands still under load: 1,024 transfers in flight for some seconds, while the
 * ledger grows.
 *
 * `--set accounts=52000000 --set loadMs=60000`: for a minute, with 4 GB of rows. How many bytes they take is printed.
 *
 * Main is watched directly. A worker cannot be watched from outside, but while it stands still no answer comes: the
 * longest silence between two answers bounds its longest pause from above (it holds main's own pauses and, on disk,
 * the syncs too).
 */
import { performance } from 'node:perf_hooks'
import { open, type OpenOptions } from 'sluicedb'
import type { Bench } from '../harness.js'
import { watchPauses, type Pauses } from '../pauses.js'
import { keepInFlight, openAccounts, transferInput } from '../workloads/bank-driver.js'
import { transferPlan } from '../workloads/transfer-plan.js'
import application, { bank, transfer } from '../workloads/transfer.js'
import type { Benchmark } from './benchmark.js'

const drawnTransfers = 100_000
const limitMs = 10
const accountsReal = 1_000_000
/** Of memory: of an account with its place in the index, at most; and for ledger, versions and log. */
const bytesPerAccount = 128
const bytesBesides = 3 * 2 ** 30

interface Load {
  readonly main: Pauses
  readonly silenceMs: number
  readonly rate: number
  readonly rowBytes: number
}

export const pauses: Benchmark = {
  name: 'pauses',
  about: 'the longest pause of main and of a worker under load',
  async run(b) {
    const cases: readonly (readonly [string, OpenOptions])[] = [
      ['1 worker, in memory', { workers: 1 }],
      ['1 worker, fsync', { workers: 1, path: b.directory() }],
      ['workers: 0, in memory', { workers: 0 }],
    ]
    for (const [title, options] of cases) {
      const { main, silenceMs, rate, rowBytes } = await load(b, options)
      const figure = { unit: 'ms', better: 'lower', goal: limitMs } as const
      b.figure({ ...figure, name: `${title}: longest pause of main`, samples: [main.longest] })
      b.figure({ ...figure, name: `${title}: longest silence`, samples: [silenceMs] })
      const collections = `${main.collections} collections, the longest ${main.longestCollection.toFixed(1)} ms`
      const delay = `p99 of the loop delay ${main.p99.toFixed(1)} ms`
      b.note(`${title}: ${Math.round(rate).toLocaleString('en')} transfers/s beside ${(rowBytes / 1e9).toFixed(2)} GB of rows, ${delay}, ${collections}`)
    }
  },
}

async function load(b: Bench, options: OpenOptions): Promise<Load> {
  const accounts = b.parameter('accounts', 1_000, accountsReal)
  const inFlight = b.parameter('inFlight', 64, 1_024)
  const loadMs = b.parameter('loadMs', 100, 5_000)
  const warmUpMs = b.parameter('warmUpMs', 50, 1_000)
  const input = transferInput(transferPlan({ accounts, transfers: drawnTransfers }))
  const memory = accounts > accountsReal ? { memory: { bytes: accounts * bytesPerAccount + bytesBesides } } : {}
  await using db = await open(application, { ...options, ...memory })
  const bytesOfRows = (): number => db.stats().memory.used - db.stats().memory.history
  const bytesAtStart = bytesOfRows()
  await openAccounts(db, accounts)
  const rowBytes = bytesOfRows() - bytesAtStart
  const totalAtStart = total(db.table(bank.tables.account))

  let next = 0
  let silenceMs = 0
  let lastAnswerMs = 0
  const run = async (ms: number): Promise<void> => {
    silenceMs = 0
    lastAnswerMs = performance.now()
    const end = lastAnswerMs + ms
    await keepInFlight(inFlight, () => (performance.now() < end ? next++ : undefined), async (id) => {
      await db.call(transfer, input(id))
      const now = performance.now()
      silenceMs = Math.max(silenceMs, now - lastAnswerMs)
      lastAnswerMs = now
    })
  }
  await run(warmUpMs)
  const watch = watchPauses()
  const first = next
  await run(loadMs)
  const main = watch.stop()

  const accountsNow = db.table(bank.tables.account)
  if (total(accountsNow) !== totalAtStart) throw new Error('money was made or lost')
  if (db.table(bank.tables.ledger).count() !== next) throw new Error(`the ledger does not hold ${next} transfers`)
  return { main, silenceMs, rate: (next - first) / (loadMs / 1_000), rowBytes }
}

function total(rows: Iterable<{ readonly balance: number }>): number {
  let sum = 0
  for (const row of rows) sum += row.balance
  return sum
}
