/**
 * A real process, killed with SIGKILL under load again and again (fault 4 of reference/determinism-reliability.md, B8). The
 * parent remembers what it was told before each kill. After each one it opens the database itself and everything it was told
 * must be so: each acknowledged transaction there, each event at its position, nothing half done; and asking again for what
 * nobody answered has its effect once.
 *
 * The process makes checkpoints all the time, if it is asked to: then kills meet them half written, and openings start from one.
 */
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { SluiceError, type Database, type Durability } from 'sluicedb'
import bankApp, { bank, deposit, transfer } from '../support/apps/bank-app.js'
import { startCompiled } from '../support/child.js'
import { newFolder, openOnce, take } from '../support/fixture.js'
import type { Random } from '../support/random.js'
import { expectSame } from '../support/same.js'
import { accounts, idOf, opening, orderOf } from './orders.js'

const child = fileURLToPath(new URL('./child.ts', import.meta.url))

export interface Killing {
  readonly durability: Durability
  readonly workers: number
  readonly checkpoints: boolean
}

/** All that the parent was ever told. */
interface Knowledge {
  readonly acknowledged: Map<number, string>
  readonly refused: Map<number, string>
  readonly events: { readonly position: string; readonly n: number }[]
  checkpoints: number
  next: number
}

/** Kills one database so many times; answers how many calls were acknowledged, events seen and checkpoints made. */
export async function killAgainAndAgain(
  killing: Killing,
  kills: number,
  random: Random,
  onKill: () => void = () => undefined,
): Promise<{ readonly acknowledged: number; readonly events: number; readonly checkpoints: number }> {
  const path = await newFolder()
  const known: Knowledge = { acknowledged: new Map(), refused: new Map(), events: [], checkpoints: 0, next: 0 }
  for (let round = 0; round < kills; round += 1) {
    await liveAndDie(path, killing, known, random)
    await verify(path, killing.durability, known)
    onKill()
  }
  expect(known.acknowledged.size, 'the kills hit a process under load').toBeGreaterThan(kills * 20)
  expect(known.events.length).toBeGreaterThan(kills * 3)
  if (killing.checkpoints && kills > 4) expect(known.checkpoints, 'openings started from a checkpoint').toBeGreaterThan(0)
  return { acknowledged: known.acknowledged.size, events: known.events.length, checkpoints: known.checkpoints }
}

async function liveAndDie(
  path: string,
  { durability, workers, checkpoints }: Killing,
  known: Knowledge,
  random: Random,
): Promise<void> {
  const last = known.events.at(-1)?.position ?? ''
  const program = startCompiled(child, [path, durability, workers, known.next, last, checkpoints ? 'checkpoints' : ''])
  let repeats = 0
  program.onLine((line) => {
    const [what, one, two] = line.split(' ') as [string, string, string]
    if (what === 'ack') known.acknowledged.set(Number(one), two)
    else if (what === 'refused') known.refused.set(Number(one), two)
    else if (what === 'checkpoint') known.checkpoints += 1
    else if (what !== 'event') return
    else if (one === last && repeats === 0) repeats += 1
    else known.events.push({ position: one, n: Number(two) })
  })
  await program.line(/^ready/)
  // Some die right away, some in the middle of the load, some right after a checkpoint: between two of them, or in the next.
  if (checkpoints && random.chance(0.4)) await program.line(/^checkpoint/)
  const isEarly = known.acknowledged.size > 0 && random.chance(0.2)
  // A slow machine may take its time to get under load.
  if (!isEarly) await program.line(/^ack/)
  await new Promise((resolve) => setTimeout(resolve, isEarly ? random.below(20) : 20 + random.below(230)))
  expect(program.process.exitCode, program.errors.join('\n')).toBe(null)
  program.process.kill('SIGKILL')
  expect((await program.ended).signal).toBe('SIGKILL')
  for (const [n, code] of known.refused) expect(code, `order ${n}`).toBe('ABORTED')
}

/**
 * Opens what is left, compares it with what was promised, and asks again for everything that nobody
 * answered.
 */
async function verify(path: string, durability: Durability, known: Knowledge): Promise<void> {
  const db = await openOnce(bankApp, { path, durability, workers: 0, partitions: 4 })
  try {
    const done = expectWhole(db)
    for (const n of known.acknowledged.keys()) expect(done.has(n), `order ${n} was acknowledged`).toBe(true)
    for (const n of known.refused.keys()) expect(done.has(n), `order ${n} was refused`).toBe(false)
    await expectLog(db, done, known)

    let highest = -1 // by hand: a set is too long for the arguments of one call
    for (const numbers of [done, known.acknowledged.keys(), known.refused.keys()]) {
      for (const n of numbers) if (n > highest) highest = n
    }
    for (let n = 0; n <= highest; n += 1) {
      const answered = known.acknowledged.has(n) || known.refused.has(n)
      if (!answered || n % 97 === 0) await askAgain(db, n, done, known)
    }
    known.next = highest + 1
    expectWhole(db)
  } finally {
    await db.close()
  }
}

/**
 * No order is half there, and every balance is the sum of its entries. Returns the orders that are there.
 */
function expectWhole(db: Database): Set<number> {
  const entries = new Map<number, string[]>()
  const balances = new Map<string, number>(accounts.map((id) => [id, opening]))
  for (const { account, n, amount, filler } of db.table(bank.tables.entry)) {
    entries.set(n, [...(entries.get(n) ?? []), `${account} ${amount} ${filler}`])
    balances.set(account, balances.get(account)! + amount)
  }
  for (const [n, found] of entries) {
    const order = orderOf(n)
    const wanted = [`${order.to} ${order.amount} ${order.filler}`]
    if (order.kind === 'transfer') wanted.push(`${order.from} ${-order.amount} ${order.filler}`)
    expect(found.sort(), `order ${n}`).toEqual(wanted.sort())
  }
  const stored = Array.from(db.table(bank.tables.account), (row) => [row.id, row.balance] as const)
  if (stored.length < accounts.length) expect(entries.size, 'no order before all accounts are open').toBe(0)
  else expectSame(stored.sort(), [...balances].sort(), 'balances and entries')
  return new Set(entries.keys())
}

/**
 * The log holds exactly the orders that are there, each acknowledged one at its position, and every event
 * that was seen, in that order from the first.
 */
async function expectLog(db: Database, done: ReadonlySet<number>, known: Knowledge): Promise<void> {
  const commits = await take(
    db.changes({ from: 'beginning', tables: [bank.tables.entry], events: [bank.events.transferred] }),
    done.size,
  )
  const positions = new Map(
    commits.map((commit) => [Number(commit.requestId?.slice('order-'.length)), commit.position as string]),
  )
  expect(positions.size).toBe(done.size)
  for (const n of done) expect(positions.has(n), `order ${n} in the log`).toBe(true)
  for (const [n, position] of known.acknowledged)
    expect(positions.get(n), `the position of order ${n}`).toBe(position)
  const events = commits.flatMap((commit) =>
    commit.events.map((event) => ({ position: event.position as string, n: event.payload.n })),
  )
  expectSame(known.events, events.slice(0, known.events.length), 'the events that were seen')
}

async function askAgain(db: Database, n: number, done: Set<number>, known: Knowledge): Promise<void> {
  const { kind, ...order } = orderOf(n)
  const options = { id: idOf(n) }
  try {
    const receipt =
      kind === 'deposit'
        ? await db.submit(deposit, order, options)
        : await db.submit(transfer, order as typeof order & { from: string }, options)
    expect(receipt.repeated, `order ${n} ran before: its answer is the recorded one`).toBe(done.has(n))
    if (known.acknowledged.has(n)) expect(receipt.position).toBe(known.acknowledged.get(n))
    known.acknowledged.set(n, receipt.position)
    done.add(n)
  } catch (error) {
    if (!SluiceError.is(error, 'ABORTED')) throw error
    expect(done.has(n), `order ${n} committed before, now it says ${error.reason}`).toBe(false)
    known.refused.set(n, 'ABORTED')
  }
}
