/** Replicas that follow, in a process that is killed under load: they come up to what is durable, and show nothing that never was. */
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import replicasApp, { board, catalog } from '../support/apps/replicas-app.js'
import { openOnce, until } from '../support/fixture.js'
import { describeKills } from '../support/kill-loop.js'

const child = fileURLToPath(new URL('./replica-child.ts', import.meta.url))

describeKills(child, 3, async (path, acknowledged) => {
  const next = acknowledged + 16 // what was on its way has perhaps happened, so versions go on behind it
  await verify(path, next)
  return next
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
