/**
 * An application of many services, as text: every procedure is a plausible one (reads, writes, scans, calls,
 * emits), every one is called, and services import each other. It measures what inference costs users.
 */
export interface BigApplication {
  readonly services: number
  readonly tablesPerService: number
  readonly proceduresPerService: number
}

const numbers = (count: number) => Array.from({ length: count }, (_, place) => place)
const each = (count: number, write: (place: number) => string, between = '\n') =>
  numbers(count).map(write).join(between)
const eventsPerService = 5

export function bigApplication({
  services,
  tablesPerService,
  proceduresPerService,
}: BigApplication): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const s of numbers(services)) {
    const other = (s + 1) % services
    files.set(`s${s}.ts`, serviceModule(s, other, tablesPerService, proceduresPerService))
    files.set(`call${s}.ts`, callerModule(s, tablesPerService, proceduresPerService))
  }
  files.set(
    'app.ts',
    `import { app } from 'sluicedb'
${each(services, (s) => `import { s${s} } from './s${s}.js'`)}
export default app(import.meta.url, [${each(services, (s) => `s${s}`, ', ')}])
`,
  )
  return files
}

function serviceModule(s: number, other: number, tables: number, procedures: number): string {
  return `import { column as c, service, table, type TxOf } from 'sluicedb'
import { s${other}, s${other}p0, s${other}p1 } from './s${other}.js'
export interface Line${s} { product: string; quantity: number; price: number; tags: string[];
  dims: { w: number; h: number } }
${each(tables, (t) => tableText(s, t, tables))}
export const s${s} = service('s${s}', {
  tables: { ${each(tables, (t) => `t${t}`, ', ')} },
  events: {
    ${each(eventsPerService, (e) => `e${e}: { owner: c.text(), id: c.int(), total: c.int(),
      note: c.text().nullable() },`, '\n    ')}
  },
  aborts: { NONE: { id: c.int() }, POOR: { has: c.int(), needs: c.int() }, SHUT: {} },
})
function load(tx: TxOf<typeof s${s}>, owner: string, id: number) {
  const row = tx.db.t0.row([owner, id])
  if (!row) tx.abort('NONE', { id })
  return row
}
${each(procedures, (p) => procedureText(s, p, other, tables))}
${each(
  eventsPerService,
  (e) => `s${s}.on(() => s${other}.events.e${e}, { name: 'h${e}', atomic: ${e % 2 === 0} }, (tx, event) => {
  tx.db.t${e}.update([event.payload.owner, event.payload.id], (row) => ({ amount: row.amount + event.payload.total }))
})`,
)}
export const s${s}w = s${s}.workflow(
  'w',
  { input: { owner: c.text(), id: c.int() }, messages: { go: { by: c.text() } } },
  async (wf, it) => {
    const done = await wf.call(s${other}p1, { ...it, amount: 1, lines: [] })
    const go = await wf.receive('go', { timeout: '1h' })
    return { total: done.total, by: go?.by ?? null }
  },
)
`
}

function tableText(s: number, t: number, tables: number): string {
  return `const t${t} = table({
  columns: {
    owner: c.text(), id: c.int().generated(), name: c.text().notBlank(), amount: c.int().min(0),
    ratio: c.f64().default(1),
    status: c.enum(['open', 'paid', 'sent', 'shut']).default('open'),
    lines: c.json<Line${s}[]>(), created: c.timestamp(),
    note: c.text().nullable(), parent: c.text().nullable().references(() => t${(t + 1) % tables}),
    mail${t}: c.text().unique(), live: c.bool().default(true),
  },
  key: ['owner', 'id'], partition: ['owner'], ordered: true,
  indexes: { byName: { on: ['name'] }, byAmount: { on: ['status', 'amount'], range: true, where: { live: true } } },
  checks: { sane: (row) => row.amount >= 0 && row.lines.length < 100 },
})`
}

function procedureText(s: number, p: number, other: number, tables: number): string {
  const t = p % tables
  const u = (p + 3) % tables
  const end =
    p % 5 === 4
      ? `const called = tx.call(s${other}p0, { owner, id, amount, lines: [] })
    total += called.total`
      : `if (load(tx, owner, id).amount > 5)
      return { made, total, first: some[0]?.name ?? null, mail: one?.mail${t} ?? null }`
  return `export const s${s}p${p} = s${s}.procedure(
  'p${p}',
  {
    input: { owner: c.text(), id: c.int(), amount: c.int().positive(),
      lines: c.json<Line${s}[]>(), note: c.text().nullable() },
    ${p % 3 ? 'partition: (it) => it.owner,' : ''}
  },
  (tx, { owner, id, amount, lines, note }) => {
    const row = tx.db.t${t}.row([owner, id]) ?? tx.abort('NONE', { id })
    if (row.amount < amount) throw tx.abort('POOR', { has: row.amount, needs: amount })
    row.amount -= amount; row.status = 'paid'; row.lines = lines
    const [, made] = tx.db.t${u}.insert({ owner, name: row.name, amount, lines,
      created: tx.now, note, mail${u}: owner + id })
    tx.db.t${u}.update([owner, made], { note: note ?? 'none', ratio: 2 })
    tx.db.t${t}.add([owner, id], { amount: 1 })
    let total = 0
    for (const other of tx.db.t${t}.scan({ prefix: [owner], limit: 10 })) total += other.amount
    for (const other of tx.db.t${u}.index.byName.rows(row.name)) other.ratio = total
    const one = tx.db.t${t}.index.mail${t}.get('a@b')
    const some = [...tx.db.t${t}.index.byAmount.scan({ prefix: ['open'], limit: 3 })]
    tx.emit('e${p % eventsPerService}', { owner, id, total })
    ${end}
    return { made, total, first: row.name, mail: null }
  },
)`
}

function callerModule(s: number, tables: number, procedures: number): string {
  return `import type { Database } from 'sluicedb'
import * as m from './s${s}.js'
export async function use(db: Database) {
${each(
  procedures,
  (p) => `  const r${p} = await db.call(m.s${s}p${p}, { owner: 'a', id: 1, amount: 1, lines: [] }, { id: 'x' })
  r${p}.total + (r${p}.first?.length ?? 0)`,
)}
${each(tables, (t) => `  db.table(m.s${s}.tables.t${t}).get(['a', 1])?.mail${t}
  db.table(m.s${s}.tables.t${t}).value(['a', 1], 'amount')`)}
  const { t0, t1, t2 } = m.s${s}.tables, { e0, e1 } = m.s${s}.events
  for await (const commit of db.changes({ tables: [t0, t1, t2], events: [e0, e1] })) {
    for (const change of commit.changes)
      if (change.table === 's${s}.t1' && change.kind === 'update') change.after.mail1
    for (const event of commit.events) event.payload.total
  }
}
`
}
