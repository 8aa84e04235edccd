/**
 * Drives the canonical bank through the public API: how its rows get there, how calls are kept in flight, what is
 * left.
 */
import type { Database, InputOf, Outcome } from 'sluicedb'
import { accountRow, bankDigest, type TransferPlan } from './transfer-plan.js'
import { bank, openAccount, type transfer } from './transfer.js'

const chunksOpenMax = 4
const loadChunk = 4_096

export async function openAccounts(db: Database, accounts: number): Promise<void> {
  await inChunks(0, accounts, loadChunk, (ids) => db.submitMany(openAccount, ids.map(accountRow)))
}

/** Transfer `id` of the plan. Past its end the plan starts over, with ids of its own. */
export function transferInput(plan: TransferPlan): (id: number) => InputOf<typeof transfer> {
  const { from, to, amount, transfers } = plan
  return (id) => {
    const drawn = id % transfers
    return { id, from: from[drawn] as number, to: to[drawn] as number, amount: amount[drawn] as number }
  }
}

export function digestOfBank(db: Database, accounts: number): string {
  const balances = new Float64Array(accounts)
  for (const row of db.table(bank.tables.account)) balances[row.id] = row.balance
  return bankDigest(balances, db.table(bank.tables.ledger).count())
}

/** As many callers as calls in flight, each awaiting its own promise, where there is one, before its next call. */
export async function keepInFlight(
  inFlight: number, next: () => number | undefined, call: (index: number) => Promise<unknown> | undefined,
): Promise<void> {
  const caller = async (): Promise<void> => {
    for (let index = next(); index !== undefined; index = next()) await call(index)
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
}

/**
 * `submit` gets the numbers from `first` on, `chunk` at a time, a few chunks together. A call that failed ends it
 * all.
 */
export async function inChunks(
  first: number, count: number, chunk: number, submit: (indexes: number[]) => Promise<readonly Outcome<unknown>[]>,
): Promise<void> {
  const end = first + count
  let next = first
  const submitter = async (): Promise<void> => {
    while (next < end) {
      const start = next
      next = Math.min(start + chunk, end)
      const outcomes = await submit(Array.from({ length: next - start }, (_, offset) => start + offset))
      for (const outcome of outcomes) if (!outcome.ok) throw outcome.error
    }
  }
  await Promise.all(Array.from({ length: chunksOpenMax }, submitter))
}

/** Counts up from `first`, `count` times. */
export function counter(first: number, count: number): () => number | undefined {
  let next = first
  return () => (next < first + count ? next++ : undefined)
}
