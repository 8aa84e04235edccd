/**
 * What must hold for everything that is refused: the code, nothing left behind, and a database that goes
 * on.
 */
import type { Database, ErrorCode, SluiceError, Table } from 'sluicedb'
import { expect } from 'vitest'
import { odd, ping } from './apps/odd-app.js'
import { refused } from './fixture.js'
import { canon, expectSame } from './same.js'

const tables: readonly Table[] = Object.values(odd.tables)
/** Every row of every table of the odd app, as text. */
export const everything = (from: Database) =>
  canon(tables.map((table) => [...(from.table(table) as Iterable<unknown>)].map(canon).sort()))

/** Refused with one of the codes, by a promise, and nothing changed; the database still answers. */
export async function refusedWhole(
  from: Database,
  call: () => Promise<unknown>,
  ...codes: readonly ErrorCode[]
): Promise<SluiceError> {
  const before = everything(from)
  const promise = call()
  expect(typeof promise.then, 'a call answers with a promise').toBe('function')
  const error = await refused(promise, ...codes)
  expectSame(everything(from), before, 'nothing is left behind')
  expect(await from.call(ping, { n: 1 })).toBe(2)
  return error
}

/** For calls that the types refuse, as plain JavaScript would make them. */
export const anyCall = (from: Database, procedure: unknown, input?: unknown, options?: unknown) =>
  (from.call as (procedure: unknown, input?: unknown, options?: unknown) => Promise<unknown>)(
    procedure,
    input,
    options,
  )

/** What it settled with: the code of its error, or 'ok'. */
export const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'ok',
    (error: { code?: string }) => error.code ?? String(error),
  )
