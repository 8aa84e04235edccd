/**
 * better-sqlite3 as the judge of answers. It is one of the peers of bench/compare and found there, or beside us where it is installed as
 * a development dependency of ours. It has no types of its own.
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

export function openPeer(): Peer {
  const Database = createRequire(join(packageRoot, 'bench/compare/package.json'))('better-sqlite3') as new (path: string) => Peer
  return new Database(':memory:')
}
