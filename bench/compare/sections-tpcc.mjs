/**
 * TPC-C: NewOrder alone and the full mix, on disk and in memory. Standard population; every contestant's tables must add up to
 * what the plan reckons (workloads/tpcc/tally.ts).
 */
export function tpccSections({ sluicedb, sqlite, lmdb, redis, postgres, plain }, { number }) {
  const ofNewOrder = number('warehouses', 1, 1)
  const ofMix = number('mixWarehouses', 2, 2)
  const many = number('tpccTransactions', 300, 40_000)
  const inFlight = number('inFlight', 64, 1_024)
  const small = number('tpccItems', 200, 0)
  const scale = small === 0 ? {} : { scale: { items: small, customers: 90, newOrders: 60 } }
  const count = (value) => value.toLocaleString('en')
  const together = `${count(inFlight)} in flight`
  /** `goal`: how many times better the first of a section is to be. */
  const entry = (name, module, share, options = {}, goal = undefined) =>
    ({ name, module, contestant: 'tpcc', count: Math.ceil(many * share), options, goal })
  const grouped = { file: true, group: 256, checkpointPages: 100_000 }

  const durable = (mix) => [
    entry(`sluicedb, ${together}`, sluicedb, 1, { file: true, workers: 1, how: 'flight', inFlight }),
    entry('sluicedb, one at a time', sluicedb, 0.1, { file: true, workers: 0, how: 'flight', inFlight: 1 }),
    entry('better-sqlite3 FULL, one per commit', sqlite, 0.05, { file: true }, mix === 'newOrder' ? 25 : 15),
    entry('better-sqlite3 FULL, one per commit, large WAL', sqlite, 0.05, { file: true, checkpointPages: 100_000 }),
    entry('better-sqlite3 FULL, 256 per commit', sqlite, 0.2, { ...grouped, checkpointPages: 1_000 }, mix === 'newOrder' ? 9 : undefined),
    entry('better-sqlite3 FULL, 256 per commit, large WAL', sqlite, 0.2, grouped, mix === 'newOrder' ? 9 : undefined),
    entry('better-sqlite3 FULL, 256 per commit, large WAL, exclusive', sqlite, 0.2, { ...grouped, exclusive: true }),
    entry(`lmdb, one transaction each, ${together}`, lmdb, 0.1, { durable: true, inFlight }),
    ...(mix === 'newOrder' ? [entry(`Redis, Lua, AOF always, ${together}`, redis, 0.1, { inFlight })] : []),
    entry('PostgreSQL, procedures, 16 connections', postgres, 0.04, { connections: 16 }),
  ]
  const inMemory = (mix) => [
    entry(`sluicedb, workers: 0, ${together}`, sluicedb, 1, { workers: 0, how: 'flight', inFlight }),
    entry(`sluicedb, 1 worker, ${together}`, sluicedb, 1, { workers: 1, how: 'flight', inFlight }),
    entry('sluicedb, workers: 0, one at a time', sluicedb, 1, { workers: 0, how: 'flight', inFlight: 1 }),
    entry('better-sqlite3 :memory:', sqlite, 0.3, {}, mix === 'newOrder' ? 5 : undefined),
    entry('plain arrays of objects', plain, 1, { store: 'array' }, mix === 'newOrder' ? 0.5 : undefined),
    entry('Maps of objects', plain, 1, { store: 'map' }),
  ]
  const section = (id, mix, title, about, entries) => {
    const warehouses = mix === 'newOrder' ? ofNewOrder : ofMix
    const of = warehouses === 1 ? 'one warehouse' : `${count(warehouses)} warehouses`
    return {
      id, kind: 'tpcc', settings: { warehouses, mix, ...scale }, unit: '/s', better: 'higher', of: 'rates',
      title: `TPC-C ${title}, ${of}`, about, entries,
    }
  }
  const onDisk = 'Durable at the acknowledgement. Rolled back transactions count.'
  const inRam = 'Nothing on disk. Plain JavaScript has no isolation and undoes nothing.'
  return [
    section('tpcc-neworder', 'newOrder', 'NewOrder, on disk before the answer', onDisk, durable('newOrder')),
    section('tpcc-neworder-memory', 'newOrder', 'NewOrder in memory', inRam, inMemory('newOrder')),
    section('tpcc-mix', 'standard', 'full mix, on disk before the answer', onDisk, durable('standard')),
    section('tpcc-mix-memory', 'standard', 'full mix in memory', inRam, inMemory('standard')),
  ]
}
