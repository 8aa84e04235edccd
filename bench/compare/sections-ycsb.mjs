/** YCSB, one section for each workload and distribution. Everything is on disk before the answer, except the Map. */
const workloads = {
  a: 'half reads, half updates of one field',
  b: '95 % reads, 5 % updates of one field',
  c: 'reads',
  d: '95 % reads of what is new, 5 % inserts',
  e: '95 % scans of 1 to 100 rows, 5 % inserts',
  f: 'half reads, half read, modify and write one field',
}
const distributions = { uniform: 'uniform', zipf: 'scrambled Zipf 0.99' }

export function ycsbSections({ sluicedb, sqlite, lmdb, redis, postgres, plain }, { number }) {
  const rows = number('ycsbRows', 200, 100_000)
  const many = number('ycsbOperations', 400, 120_000)
  const inFlight = number('inFlight', 64, 1_024)
  const grouped = { file: true, group: 256, checkpointPages: 100_000 }
  const count = (value) => value.toLocaleString('en')
  const together = `${count(inFlight)} in flight`

  /** Reads cost most of us nothing beside writes; a scan is worth some dozen reads. */
  const shares = { a: [1, 1, 0.05], b: [2, 1, 0.3], c: [3, 2, 2], d: [2, 1, 0.3], e: [0.25, 0.2, 0.1], f: [1, 1, 0.05] }
  const section = (workload, distribution) => {
    const [ours, theirs, alone] = shares[workload]
    const entry = (name, module, share, options) =>
      ({ name, module, contestant: 'ycsb', count: Math.ceil(many * share), options })
    return {
      id: workload === 'd' ? 'ycsb-d' : `ycsb-${workload}-${distribution}`,
      kind: 'ycsb', settings: { workload, rows, distribution }, unit: '/s', better: 'higher', of: 'rates',
      title: `YCSB ${workload.toUpperCase()}: ${workloads[workload]}${workload === 'd' ? '' : `, ${distributions[distribution]}`}`,
      about: `${count(rows)} rows of ten fields of 100 bytes. Durable at the acknowledgement, except the Map.`,
      entries: [
        entry(`sluicedb, ${together}`, sluicedb, ours, { file: true, workers: 1, inFlight }),
        entry('sluicedb, one at a time', sluicedb, alone, { file: true, workers: 0, inFlight: 1 }),
        entry('better-sqlite3 FULL, 256 per commit', sqlite, theirs / 3, grouped),
        entry('better-sqlite3 FULL, one per commit', sqlite, alone, { file: true }),
        entry(`lmdb, ${together}`, lmdb, theirs / 3, { durable: true, inFlight }),
        entry(`Redis, AOF always, ${together}`, redis, theirs / 3, { inFlight }),
        entry('PostgreSQL, 16 connections', postgres, theirs / 10, { connections: 16 }),
        entry('Map of objects (nothing on disk)', plain, 4 * ours),
      ],
    }
  }
  return Object.keys(workloads).flatMap((workload) =>
    workload === 'd' ? [section(workload, 'zipf')] : Object.keys(distributions).map((one) => section(workload, one)))
}
