/**
 * SQLite as the judge of answers: better-sqlite3 where the peers of bench/compare are installed, else the same SQLite compiled to WebAssembly,
 * which needs no compiler and so runs wherever the tests do.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { packageRoot } from '../support/child.js'

export interface Peer {
  exec(sql: string): void
  prepare(sql: string): PeerStatement
  close(): void
}
export interface PeerStatement {
  run(...values: readonly unknown[]): void
  all(...values: readonly unknown[]): Record<string, unknown>[]
  get(...values: readonly unknown[]): Record<string, unknown> | undefined
  safeIntegers(on: boolean): PeerStatement
}

const needed = createRequire(join(packageRoot, 'bench/compare/package.json'))

export async function openPeer(): Promise<Peer> {
  try {
    const Database = needed('better-sqlite3') as new (path: string) => Peer
    return new Database(':memory:')
  } catch {
    // Not installed, or not compiled: scripts of packages may be off.
    return openWebAssembly()
  }
}

type Value = number | string | bigint | Uint8Array | null
interface WasmStatement {
  bind(values: readonly unknown[]): boolean
  step(): boolean
  get(parameters: null, options: { useBigInt: boolean }): Value[]
  getColumnNames(): string[]
  reset(): void
}
interface WasmDatabase {
  exec(sql: string): unknown
  prepare(sql: string): WasmStatement
  close(): void
}

async function openWebAssembly(): Promise<Peer> {
  const initialize = createRequire(import.meta.url)('sql.js') as () => Promise<{ Database: new () => WasmDatabase }>
  const { Database } = await initialize()
  const database = new Database()
  return {
    exec: (sql) => void database.exec(sql),
    prepare: (sql) => statementOf(database, sql),
    close: () => database.close(),
  }
}

/** sql.js hands whole numbers beyond 32 bits over as text, and no column here has a type that would make numbers of them again. */
function statementOf(database: WasmDatabase, sql: string): PeerStatement {
  let useBigInt = false
  const made = new Map<string, WasmStatement>()
  const bound = (values: readonly unknown[]): WasmStatement => {
    let n = 0
    const text = sql.replaceAll('?', () => (typeof values[n++] === 'bigint' ? 'cast(? as integer)' : '?'))
    const statement = made.get(text) ?? database.prepare(text)
    made.set(text, statement)
    statement.bind(values)
    return statement
  }
  const all = (values: readonly unknown[]): Record<string, unknown>[] => {
    const statement = bound(values)
    const rows: Record<string, unknown>[] = []
    while (statement.step()) {
      const names = statement.getColumnNames()
      rows.push(Object.fromEntries(statement.get(null, { useBigInt }).map((value, n) => [names[n]!, value])))
    }
    statement.reset()
    return rows
  }
  const self: PeerStatement = {
    run: (...values) => void all(values),
    all: (...values) => all(values),
    get: (...values) => all(values)[0],
    safeIntegers(on) {
      useBigInt = on
      return self
    },
  }
  return self
}
