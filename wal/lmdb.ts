/**
 * LMDB, loaded when it is first asked for: that takes 100 ms of processor time, and of the threads of a database only those that touch
 * checkpoints or the lock need it. Loaded as CommonJS, because the two who ask must not wait.
 */
import { createRequire } from 'node:module'

export type Lmdb = typeof import('lmdb')

let loaded: Lmdb | undefined

export function lmdb(): Lmdb {
  return (loaded ??= createRequire(import.meta.url)('lmdb') as Lmdb)
}
