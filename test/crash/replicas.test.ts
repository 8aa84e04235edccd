/** Replicas that follow, in a process that is killed under load: they come up to what is durable, and show nothing that never was. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import replicasApp, { board, catalog } from '../support/apps/replicas-app.js'
import { newFolder, openOnce, until } from '../support/fixture.js'
import { killUnderLoad } from '../support/kill-loop.js'
import { seeds, withSeed } from '../support/random.js'

const child = fileURLToPath(new URL('./replica-child.ts', import.meta.url))
const kills = 3

describe.each([0, 1])('workers %i', (workers) => {
  test.each(seeds(1))(`${kills} kills, seed %i`, { timeout: 120_000 }, async (seed) => {
    await withSeed(seed + workers, async (random) => {
      const path = await newFolder()
      let next = 0
      for (let round = 0; round < kills; round += 1) {
        next = await killUnderLoad(child, [path, workers, next], random)
        // What was on its way has perhaps happened, so versions go on behind it.
        next += 16
        await verify(path, next)
      }
      expect(next).toBeGreaterThan(kills * 8)
    })
  })
})

async function verify(path: string, next: number): Promise<void> {
  const db = await openOnce(replicasApp, { path, workers: 0, partitions: 4, durability: 'os' })
  try {
    for (const row of db.table(board.replicas.later)) expect(row).toMatchObject({ price: row.version, name: `${row.id}` })
    for (const row of db.table(board.replicas.later)) expect(row.version).toBeLessThan(next)
    await until(() => db.stats().replicas.every(({ isBehind }) => !isBehind), 'all replicas have come up')
    const shown = new Map(Array.from(db.table(board.replicas.later), ({ seller, id, version }) => [`${seller} ${id}`, version]))
    expect(shown).toEqual(new Map(Array.from(db.table(catalog.tables.product), ({ seller, id, version }) => [`${seller} ${id}`, version])))
    expect(shown.size).toBeGreaterThan(0)
  } finally {
    await db.close()
  }
}
