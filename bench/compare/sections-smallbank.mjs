/** SmallBank, with customers drawn uniformly and with a hotspot. Everything is on disk before the answer, except plain JavaScript. */
export function smallBankSections({ sluicedb, sqlite, lmdb, redis, postgres, plain }, { number }) {
  const customers = number('customers', 500, 100_000)
  const many = number('smallBankOperations', 400, 150_000)
  const inFlight = number('inFlight', 64, 1_024)
  const hotspot = number('hotspot', 50, 100)
  const grouped = { file: true, group: 256, checkpointPages: 100_000 }
  const count = (value) => value.toLocaleString('en')
  const together = `${count(inFlight)} in flight`
  const entry = (name, module, share, options = {}) =>
    ({ name, module, contestant: 'smallbank', count: Math.ceil(many * share), options })
  const section = (id, hot, title) => ({
    id, kind: 'smallbank', settings: { customers, hotspot: hot }, unit: '/s', better: 'higher', of: 'rates', title,
    about: `${count(customers)} customers, six transactions; every cent accounted for. Durable at the acknowledgement, except plain JavaScript.`,
    entries: [
      entry(`sluicedb, ${together}`, sluicedb, 1, { file: true, workers: 1, inFlight }),
      entry('sluicedb, one at a time', sluicedb, 0.05, { file: true, workers: 0, inFlight: 1 }),
      entry('better-sqlite3 FULL, 256 per commit', sqlite, 0.5, grouped),
      entry('better-sqlite3 FULL, one per commit', sqlite, 0.05, { file: true }),
      entry(`lmdb, ${together}`, lmdb, 0.3, { durable: true, inFlight }),
      entry(`Redis, AOF always, ${together}`, redis, 0.3, { inFlight }),
      entry('PostgreSQL, 16 connections', postgres, 0.06, { connections: 16 }),
      entry('Map of objects (nothing on disk)', plain, 8, { store: 'map' }),
      entry('typed arrays (nothing on disk)', plain, 8, { store: 'array' }),
    ],
  })
  return [
    section('smallbank', 0, 'SmallBank, customers drawn uniformly'),
    section('smallbank-hotspot', hotspot, `SmallBank, nine of ten customers among ${count(hotspot)}`),
  ]
}
