/** A database for a test: in memory, and the same in every run. */
import type { App } from '../app.js'
import type { Database, OpenOptions } from '../database-types.js'
import { open } from '../open.js'

export interface TestDatabaseOptions extends Pick<OpenOptions, 'workers' | 'onHandlerError'> {
  /** When its clock begins, milliseconds since the epoch. Default: the first second of 2020. */
  readonly now?: number | undefined
  /** By so many milliseconds each batch is later than the one before. Default: 1. */
  readonly step?: number | undefined
  /** What `tx.random()` and `tx.uuid()` draw from. Default: 1. */
  readonly seed?: number | undefined
  /** Default: 64 MiB. */
  readonly memory?: OpenOptions['memory']
}

const nowDefault = Date.UTC(2020, 0, 1)
const memoryDefault = { bytes: 64 * 2 ** 20 }

/**
 * Opens an application in memory, with a clock and a seed of its own: the same calls, one after the other, have the same results in
 * every run.
 *
 * ```ts
 * await using db = await testDatabase(application)
 * ```
 */
export async function testDatabase(application: App, options: TestDatabaseOptions = {}): Promise<Database> {
  const { now: nowMs = nowDefault, step: stepMs = 1, seed = 1, memory = memoryDefault, ...rest } = options
  return await open(application, { ...rest, memory, [Symbol.for('sluicedb.fixed')]: { nowMs, stepMs, seed } } as OpenOptions)
}
