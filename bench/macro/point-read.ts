/**
 * Reads by primary key on the caller's thread, one million rows of one hundred bytes, keys drawn uniformly: most
 * reads miss the processor's caches. One column through `value(key, column)`, the whole row through `get(key)`.
 *
 * better-sqlite3 reads a file opened exclusively, with mmap, faster than `:memory:`; so that is the peer.
 */
import { contest, modules } from '../contest/contest.js'
import { ours, peerOf, type Benchmark } from './benchmark.js'

export const pointRead: Benchmark = {
  name: 'point-read',
  about: 'reads by key on the caller\'s thread: one column, whole row',
  async run(b) {
    const rows = b.parameter('rows', 2_000, 1_000_000)
    const count = b.parameter('reads', 2_000, 1_000_000)
    const peerCount = b.parameter('peerReads', 1_000, 500_000)
    const file = { file: true, exclusive: true }
    const common = { contestant: 'read', count: peerCount }
    const goals = { one: 3_000_000, row: 1_000_000 }
    const titles = { one: 'one column', row: 'whole row' }
    const all = []
    for (const column of ['one', 'row'] as const) {
      const entries = [
        { ...common, name: 'sluicedb', module: modules.sluicedb, count, options: { column } },
        { ...common, name: 'better-sqlite3, exclusive file', module: modules.sqlite, options: { column, ...file } },
        { ...common, name: 'lmdb', module: modules.lmdb, options: { column } },
        { ...common, name: 'Map of objects', module: modules.plain, count, options: { column } },
      ]
      const standings = await contest(b, 'read', { rows }, entries)
      const { rates, digest } = ours(standings, 'sluicedb')
      for (const { name } of entries.slice(1)) {
        const peer = peerOf(standings, name, (standing) => standing.rates)
        if (peer === undefined) continue
        const goal = name === entries[1]?.name ? goals[column] : undefined
        b.figure({ name: titles[column], unit: '/s', better: 'higher', samples: rates, goal, peer })
      }
      all.push(digest)
    }
    b.report('hash', all.join(' '))
  },
}
