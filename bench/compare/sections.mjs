/**
 * Who is compared at what. Counts give each contestant about a second a round; what a figure may be compared with is
 * said in the title: a store that loses data is never shown beside one that does not without its name saying so.
 */
import { smallBankSections } from './sections-smallbank.mjs'
import { streamSections } from './sections-streams.mjs'
import { tpccSections } from './sections-tpcc.mjs'
import { ycsbSections } from './sections-ycsb.mjs'

export function sections(modules, parameters) {
  return [
    ...bankSections(modules, parameters),
    ...tpccSections(modules, parameters),
    ...smallBankSections(modules, parameters),
    ...ycsbSections(modules, parameters),
    ...streamSections(modules, parameters),
  ]
}

function bankSections(modules, { number }) {
  const { sluicedb, sqlite, lmdb, redis, postgres, plain } = modules
  const accounts = number('accounts', 1_000, 100_000)
  const rows = number('rows', 2_000, 1_000_000)
  const many = number('operations', 1_000, 200_000)
  const inFlight = number('inFlight', 64, 1_024)
  const transfer = (name, module, operations, options, latency = false) =>
    ({ name, module, contestant: 'transfer', count: operations, options, latency })
  /** The first of the section is to be nine times better than whoever else is durable. */
  const durable = (...entry) => ({ ...transfer(...entry), goal: 9 })
  const read = (name, module, count, options) => ({ name, module, contestant: 'read', count, options })
  const load = (name, module, options = {}) => ({ name, module, contestant: 'load', count: rows, options })
  const few = Math.ceil(many / 40)
  const some = Math.ceil(many / 4)
  const count = (value) => value.toLocaleString('en')
  const together = `${count(inFlight)} in flight`
  const oneWorker = { file: true, workers: 1 }
  const grouped = { file: true, group: 256, checkpointPages: 100_000 }

  return [
    {
      id: 'transfer-durable', kind: 'transfer', settings: { accounts }, unit: '/s', better: 'higher', of: 'rates',
      title: 'Transfers, on disk before the answer',
      about: `${count(accounts)} accounts: read two, check, update two, insert one ledger row. `
        + 'Durable at the acknowledgement, except plain JavaScript.',
      entries: [
        transfer(`sluicedb, one promise each, ${together}`, sluicedb, many, { ...oneWorker, how: 'flight', inFlight }),
        transfer('sluicedb, submitMany of 4,096', sluicedb, many, { ...oneWorker, how: 'many' }),
        transfer('sluicedb, one at a time', sluicedb, few, { file: true, workers: 0, how: 'one' }),
        durable('better-sqlite3 FULL, 256 per commit', sqlite, some, grouped),
        durable('better-sqlite3 FULL, 256 per commit, exclusive', sqlite, some, { ...grouped, exclusive: true }),
        durable('better-sqlite3 FULL, one per commit', sqlite, few, { file: true }),
        durable(`lmdb, one transaction each, ${together}`, lmdb, some, { durable: true, inFlight }),
        durable(`Redis, Lua, AOF always, ${together}`, redis, some, { inFlight }),
        durable('PostgreSQL, procedure, 16 connections', postgres, Math.ceil(many / 12), { connections: 16 }),
        transfer('Map of objects (nothing on disk)', plain, many),
        transfer('arrays by number (nothing on disk)', plain, 4 * many, { store: 'array' }),
      ],
    },
    {
      id: 'transfer-memory', kind: 'transfer', settings: { accounts }, unit: 'µs', better: 'lower', of: 'p50',
      title: 'A transfer in memory, one at a time: p50',
      about: 'The same transfer, nothing on disk, each awaited before the next. The clock adds about 0.05 µs.',
      entries: [
        transfer('sluicedb, workers: 0', sluicedb, many, { workers: 0, how: 'one' }, true),
        transfer('sluicedb, 1 worker', sluicedb, many, { workers: 1, how: 'one' }, true),
        transfer('better-sqlite3 :memory:', sqlite, many, {}, true),
      ],
    },
    {
      id: 'read-one', kind: 'read', settings: { rows }, unit: '/s', better: 'higher', of: 'rates',
      title: 'Reads of one column by key',
      about: `${count(rows)} rows of 100 bytes, keys drawn uniformly, on the caller's thread.`,
      entries: [
        read('sluicedb, value(key, column)', sluicedb, 4 * many, { column: 'one' }),
        read('better-sqlite3, exclusive file', sqlite, 2 * many, { column: 'one', file: true, exclusive: true }),
        read('better-sqlite3 :memory:', sqlite, 2 * many, { column: 'one' }),
        read('lmdb', lmdb, 2 * many, { column: 'one' }),
        read('Map of objects', plain, 4 * many, { column: 'one' }),
      ],
    },
    {
      id: 'read-row', kind: 'read', settings: { rows }, unit: '/s', better: 'higher', of: 'rates',
      title: 'Reads of whole rows by key',
      about: 'The same rows; a plain object of seven columns for each read. The Map copies its object.',
      entries: [
        read('sluicedb, get(key)', sluicedb, 4 * many, { column: 'row' }),
        read('better-sqlite3, exclusive file', sqlite, 2 * many, { column: 'row', file: true, exclusive: true }),
        read('better-sqlite3 :memory:', sqlite, 2 * many, { column: 'row' }),
        read('lmdb', lmdb, 2 * many, { column: 'row' }),
        read('Map of objects', plain, 4 * many, { column: 'row' }),
      ],
    },
    {
      id: 'memory', kind: 'load', settings: { rows, reads: 0 }, fresh: true,
      unit: 'MB', better: 'lower', of: 'megabytes',
      title: `Resident memory of ${count(rows)} rows of 100 bytes`,
      about: 'Growth of the process from before the database is opened, after a full collection.',
      entries: [
        load('sluicedb', sluicedb),
        load('better-sqlite3 :memory:', sqlite),
        load('Map of objects', plain),
      ],
    },
  ]
}
