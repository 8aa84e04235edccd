/** Conformance of projections: weaver-eventlog §8. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import projectionsApp, { appOf, behind, giveBack, sell, within } from '../support/apps/projections-app.js'
import { newFolder, openFor, openOnce, proveWhole } from '../support/fixture.js'
import { killUnderLoad } from '../support/kill-loop.js'
import { seeds, withSeed } from '../support/random.js'
import type { Database } from 'sluicedb'

const child = fileURLToPath(new URL('../crash/projection-child.ts', import.meta.url))
const kills = 2

/** Rows of both projections, which must be the same, and the number of sales in them. */
function compare(db: Database): number {
  const rowsOf = (projected: typeof behind | typeof within) => {
    const { total, sale } = db.projection(projected as typeof behind).tables
    return { total: [...total].sort((a, b) => (a.customer < b.customer ? -1 : 1)), sale: Array.from(sale, ({ customer, n, text }) => `${customer} ${String(n).padStart(6, '0')} ${text}`).sort() }
  }
  const [followed, written] = [rowsOf(behind), rowsOf(within)]
  expect(followed).toEqual(written)
  return written.sale.length
}

test.each(seeds(1))(`§8.15 (double effects): a crash between the effect of an event and the note of it has it once, seed %i`, { timeout: 120_000 }, async (seed) => {
  await withSeed(seed, async (random) => {
    const path = await newFolder()
    let acknowledged = 0
    for (let round = 0; round < kills; round += 1) {
      acknowledged = await killUnderLoad(child, [path, acknowledged], random)
    }
    const db = await openOnce(projectionsApp, { path, durability: 'os' })
    try {
      const { position } = await db.submit(sell, { customer: 'last', product: 'p', quantity: 1 })
      await db.projection(behind).reached(position)
      // `within` was written in the transactions themselves: one row for each sale that is durable.
      expect(compare(db)).toBeGreaterThan(acknowledged)
      proveWhole(db)
    } finally {
      await db.close()
    }
  })
})

test.each(seeds(2))('§8.18 (emmett PR #286): a projection that is rebuilt while writes continue ends equal to inline, seed %i', async (seed) => {
  await withSeed(seed, async (random) => {
    const db = await openFor(projectionsApp)
    let isWriting = true
    let written = 0
    const writing = (async () => {
      for (; isWriting; written += 1) {
        await db.call(random.below(4) === 0 ? giveBack : sell, { customer: `c${random.below(4)}`, product: `p${written}`, quantity: random.below(9) + 1 })
      }
    })()
    for (let round = 0; round < 3; round += 1) {
      await db.projection(behind).rebuild()
      await db.projection(within).rebuild()
    }
    isWriting = false
    await writing
    const { position } = await db.submit(sell, { customer: 'c0', product: 'last', quantity: 1 })
    await db.projection(behind).reached(position)
    expect(compare(db)).toBe(written + 1)
  })
})

test.each(seeds(2))('a projection is a fold of the log, whatever is rebuilt and reopened in the middle, seed %i', async (seed) => {
  await withSeed(seed, async (random) => {
    const path = await newFolder()
    const fold = new Map<string, { quantity: number; sales: string[] }>()
    let per = 1
    for (let life = 1; life <= 3; life += 1) {
      if (random.below(2) === 0) per += 1
      const made = appOf({ per, version: per, keepOld: random.below(2) === 0 })
      const db = await openOnce(made.application, { path, durability: 'os' })
      try {
        let position = ''
        for (let n = random.below(40); n >= 0; n -= 1) {
          const call = { customer: `c${random.below(3)}`, product: `p${n}`, quantity: random.below(9) + 1 }
          const isBack = random.below(4) === 0
          position = (await db.submit(isBack ? giveBack : sell, call)).position
          const sum = fold.get(call.customer) ?? { quantity: 0, sales: [] }
          const quantity = isBack ? -call.quantity : call.quantity
          sum.quantity += quantity
          sum.sales.push(`${isBack ? 'shop.returned' : 'shop.sold'} ${quantity} ${call.product}`)
          fold.set(call.customer, sum)
          if (random.below(20) === 0) void db.projection(random.below(2) === 0 ? made.behind : (made.within as never)).rebuild().catch(() => undefined)
        }
        for (const projected of [made.behind, made.within as never as typeof made.behind]) {
          const handle = db.projection(projected)
          await handle.reached(position as never)
          if (handle.status().version !== per || handle.status().state === 'rebuilding') await handle.rebuild()
          await handle.reached(position as never)
          const found = new Map([...handle.tables.total].map(({ customer, quantity }) => [customer, { quantity, sales: Array.from(handle.tables.sale.scan({ prefix: [customer] }), ({ text }) => text) }]))
          expect(found).toEqual(new Map([...fold].map(([customer, { quantity, sales }]) => [customer, { quantity: quantity * per, sales }])))
        }
        proveWhole(db)
      } finally {
        await db.close()
      }
    }
  })
})
