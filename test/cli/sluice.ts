/** The command, run in this process, and databases for it to look at. */
import { cpSync, openSync, closeSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Database } from 'sluicedb'
import { run } from '../../bindings/cli/run.js'
import bankApp, { bank, closeAccount, deposit, openAccount, setNote, transfer } from '../support/apps/bank-app.js'
import { newFolder, openOnce, proveWhole } from '../support/fixture.js'

export interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly lines: readonly string[]
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/**
 * Tools that make rows of files reserve 16 GiB, which has no guard (docs/decisions/0020-guarded-regions.md): two of them that nobody has collected
 * keep the process from starting another, and tests do start some.
 */
export async function sluice(...args: readonly string[]): Promise<Ended> {
  const sink = () => {
    const texts: string[] = []
    return { texts, write: (text: string) => texts.push(text) > 0, once: () => undefined, off: () => undefined }
  }
  const [out, err] = [sink(), sink()]
  const code = await run(args, out, err)
  if (args[0] === 'verify' || args[0] === 'salvage') collect()
  const text = out.texts.join('')
  return { code, out: text, err: err.texts.join(''), lines: text.split('\n').filter((line) => line !== '') }
}

/** The one object that a command prints with `--json`. */
export async function sluiceJson(...args: readonly string[]): Promise<any> {
  const { out, err } = await sluice(...args, '--json')
  if (out === '') throw new Error(`no output: ${err}`)
  return JSON.parse(out)
}

/** What the state was behind a commit, as a model: rows by table and key. */
export interface Step {
  readonly position: string
  readonly state: string
}

export interface MadeBank {
  readonly path: string
  readonly steps: readonly Step[]
}

export interface BankOptions {
  readonly accounts?: number
  readonly deposits?: number
  /** A checkpoint after so many deposits each. */
  readonly checkpointEvery?: number
  readonly workers?: number
}

/** Every kind of change, calls with ids, a refused one, long values; one commit for each batch. */
export async function makeBank({ accounts = 6, deposits = 8, checkpointEvery = Infinity, workers = 0 }: BankOptions = {}): Promise<MadeBank> {
  const path = join(await newFolder(), 'bank')
  const db = await openOnce(bankApp, { path, workers, durability: 'os' })
  const steps: Step[] = []
  const step = (receipt: { readonly position: string }): void => void steps.push({ position: receipt.position, state: stateOf(db) })
  try {
    for (let n = 0; n < accounts; n += 1) step(await db.submit(openAccount, { id: `a${n}`, balance: 100 * n }))
    for (let n = 0; n < deposits; n += 1) {
      step(await db.submit(deposit, { to: `a${n % accounts}`, amount: n + 1, n, filler: 'f'.repeat(n * 7) }, { id: `order-${n}` }))
      if ((n + 1) % checkpointEvery === 0) await db.checkpoint()
    }
    step(await db.submit(transfer, { from: 'a2', to: 'a1', amount: 5, n: 900 }))
    await db.call(transfer, { from: 'a0', to: 'a1', amount: 10 ** 9, n: 901 }, { id: 'too-much' }).catch(() => undefined)
    step(await db.submit(setNote, { id: 'a1', note: 'é'.repeat(60) }))
    step(await db.submit(closeAccount, { id: 'a3' }))
  } finally {
    await db.close()
  }
  return { path, steps }
}

/** All rows of a bank, in the order of an index and of a key. */
export function stateOf(db: Database): string {
  const { account, entry } = bank.tables
  return JSON.stringify({ accounts: [...db.table(account).index.byBalance.scan()], entries: [...db.table(entry).scan()] })
}

/** Opens a directory as its application does, and says what is in it. */
export async function stateIn(path: string): Promise<string> {
  const db = await openOnce(bankApp, { path, durability: 'os' })
  try {
    proveWhole(db)
    return stateOf(db)
  } finally {
    await db.close()
  }
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────

export async function copyOf(path: string): Promise<string> {
  const copy = join(await newFolder(), 'copy')
  cpSync(path, copy, { recursive: true })
  return copy
}

/** Changes one byte of a file. */
export function damage(path: string, file: string, at: number, change: (byte: number) => number = (byte) => byte ^ 0x40): void {
  const fd = openSync(join(path, file), 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(fd, byte, 0, 1, at)
    byte[0] = change(byte[0]!)
    writeSync(fd, byte, 0, 1, at)
  } finally {
    closeSync(fd)
  }
}

/** Every file with its bytes, without the lock, which says who has it open. */
export function filesIn(path: string): Map<string, string> {
  const names = readdirSync(path, { recursive: true }) as string[]
  const files = names.filter((name) => !name.startsWith('lock') && statSync(join(path, name)).isFile())
  return new Map(files.sort().map((name) => [name, readFileSync(join(path, name)).toString('base64')]))
}

export interface FramePart {
  readonly kind: string
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly batch: number
}

/** The parts of a log, as the command lists them. */
export async function partsOf(path: string): Promise<readonly FramePart[]> {
  const { lines } = await sluice('log', path, '--frames', '--json')
  return lines.map((line) => JSON.parse(line) as FramePart)
}
