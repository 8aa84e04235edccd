/** Databases and directories that end with their test, whatever happens in it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, SluiceError, type App, type Database, type ErrorCode, type OpenOptions } from 'sluicedb'
import { expect, onTestFinished } from 'vitest'

const memoryBytes = 256 * 2 ** 20

/** Opens for the length of one test. Closing twice is fine, so a test may close it itself. */
export async function openFor(application: App, options: OpenOptions = {}): Promise<Database> {
  const db = await open(application, { memory: { bytes: memoryBytes }, ...options })
  onTestFinished(async () => {
    proveWhole(db)
    await db.close()
  })
  return db
}

/** Walks the whole store and proves its invariants, where the test has left nothing running. */
export function proveWhole(db: Database): void {
  const check = (db as unknown as Readonly<Record<symbol, () => boolean>>)[Symbol.for('sluicedb.check')]
  check!.call(db)
}

/** Opens for the caller, who closes. */
export const openOnce = (application: App, options: OpenOptions = {}) =>
  open(application, { memory: { bytes: memoryBytes }, ...options })

export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/**
 * The error of a refused promise. A function that throws instead of answering with a promise is a failure
 * of its own.
 */
export async function refused(
  promise: Promise<unknown>,
  ...codes: readonly ErrorCode[]
): Promise<SluiceError> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return recognised(error, codes)
  }
  expect.fail(`expected ${codes.join(' or ')}, but it settled with ${String(value)}`)
}

/** The error of a call that throws at once. */
export function thrown(run: () => unknown, ...codes: readonly ErrorCode[]): SluiceError {
  let value: unknown
  try {
    value = run()
  } catch (error) {
    return recognised(error, codes)
  }
  expect.fail(`expected ${codes.join(' or ')}, but it returned ${String(value)}`)
}

function recognised(error: unknown, codes: readonly ErrorCode[]): SluiceError {
  if (!SluiceError.is(error))
    expect.fail(
      `expected ${codes.join(' or ')}, but it is no SluiceError: ${error instanceof Error ? error.stack : String(error)}`,
    )
  if (codes.length > 0 && !codes.includes(error.code))
    expect.fail(`expected ${codes.join(' or ')}, got ${error.code}: ${error.message}`)
  return error
}

/** Fails with a sentence instead of hanging until the runner gives up. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The first `count` of a stream, which is then left with `break`. */
export async function take<T>(
  stream: AsyncIterable<T>,
  count: number,
  what = 'the stream',
  ms = 10_000,
): Promise<T[]> {
  const taken: T[] = []
  if (count === 0) return taken
  const all = (async () => {
    for await (const one of stream) {
      taken.push(one)
      if (taken.length === count) break
    }
  })()
  try {
    await within(ms, `${what}: ${count} of them`, all)
  } catch (error) {
    throw new Error(`${what}: ${taken.length} of ${count} arrived: ${String(error)}`, { cause: error })
  }
  if (taken.length < count) throw new Error(`${what} ended after ${taken.length} of ${count}`)
  return taken
}

export const until = async (
  holds: () => boolean | Promise<boolean>,
  what: string,
  ms = 20_000,
): Promise<void> => {
  const end = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
