/**
 * The marketplace beside the usual way to build it, small: ours breaks no criterion in any snapshot. The peer plays where
 * nats-server and its packages are installed, finishes what it began, and is said to be skipped everywhere else.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'

interface Played {
  readonly transactions: number
  readonly checkouts: number
  readonly looked: number
  readonly asked: number
  readonly perSecond: number
  readonly checkoutP50Ms: number
  readonly broken: readonly { readonly criterion: number }[]
}

const compare = new URL('../../bench/compare/', import.meta.url)
const { marketplace } = (await import(new URL('marketplace/contest.mjs', compare).href)) as {
  marketplace(options: object): Promise<{ readonly ours: Played; readonly peer: Played & { readonly skipped?: string } }>
}
/** As the peer itself would find them: `nats` is also a package of the project's own tests. */
function isThere(path: string): boolean {
  try {
    return existsSync(createRequire(new URL('marketplace/peer.mjs', compare)).resolve(path))
  } catch {
    return false
  }
}
const isInstalled = spawnSync('nats-server', ['-v']).status === 0 && ['nats', 'better-sqlite3/build/Release/better_sqlite3.node'].every(isThere)

test('both finish the same plans, and ours breaks no criterion', { timeout: 120_000 }, async () => {
  const options = { plans: 120, customers: 100, products: 100, outstanding: 16, looks: 2 }
  const { ours, peer } = await marketplace(options)
  expect(ours).toMatchObject({ broken: [], looked: 2, asked: 10 })
  expect(ours.checkouts).toBeGreaterThan(20)
  expect(ours.checkoutP50Ms).toBeGreaterThan(0)
  if (!isInstalled) {
    expect(peer.skipped).toMatch(/not installed|Cannot find/)
    return
  }
  expect(peer.skipped).toBeUndefined()
  expect(peer).toMatchObject({ looked: 2, transactions: ours.transactions })
  expect(peer.checkouts).toBeGreaterThan(20)
  expect(peer.checkoutP50Ms).toBeGreaterThan(0)
})
