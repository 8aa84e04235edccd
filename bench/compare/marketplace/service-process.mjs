/**
 * One service of the marketplace in a process of its own, the usual way: its rows in its own SQLite file, commands as
 * requests, events by JetStream. What a command or an event changes, what it emits (outbox) and how far the stream has
 * been handled (idempotence) are one local transaction; nothing holds two services together but that events arrive.
 *
 * To its advantage: everything that waits is one transaction and one sync, an acknowledgement of the stream covers all
 * before it, and the outbox is sent without waiting for each message.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { AckPolicy, connect, JSONCodec } from 'nats'
import { aborted, definitionOf, handlersOf, openEntries, openOrders } from './definitions.mjs'
import { entryQueries, SqliteTable } from './sqlite-tables.mjs'

const { service, directory, port } = JSON.parse(process.argv[2])
const togetherMax = 256
const definition = definitionOf(service)
const handlers = handlersOf(service)
const json = JSONCodec()

const db = new Database(join(directory, `${service}.db`))
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
for (const [name, table] of definition.tables) for (const sql of SqliteTable.schema(name, table)) db.exec(sql)
db.exec('CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, payload TEXT NOT NULL)')
db.exec('CREATE TABLE cursor (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL)')
db.exec('INSERT INTO cursor VALUES (1, 0)')
const begin = db.prepare('BEGIN IMMEDIATE')
const commit = db.prepare('COMMIT')
const savepoint = db.prepare('SAVEPOINT one')
const release = db.prepare('RELEASE one')
const undo = db.prepare('ROLLBACK TO one')
const emitRow = db.prepare('INSERT INTO outbox (event, payload) VALUES (?, ?)')
const takeOut = db.prepare('DELETE FROM outbox WHERE id <= ?')
const moveCursor = db.prepare('UPDATE cursor SET sequence = ?')

const tables = Object.fromEntries([...definition.tables].map(([name, table]) => [name, new SqliteTable(db, name, table)]))
let emitted = []
const tx = {
  db: tables,
  /** The time of the call, which its events carry on. */
  now: 0,
  emit(event, payload) {
    const name = `${service}.${event}`
    const { lastInsertRowid } = emitRow.run(name, JSON.stringify({ payload, at: tx.now }))
    emitted.push({ id: Number(lastInsertRowid), event: name, payload, at: tx.now })
  },
  abort(reason, details) {
    throw aborted(reason, details)
  },
  query: service === 'seller' ? entryQueries(db, { openEntries, openOrders }) : undefined,
}

const connection = await connect({ servers: `127.0.0.1:${port}` })
const stream = connection.jetstream()
const waiting = []
let working = false
let sentUpTo = 0
let sending = Promise.resolve()
let sequence = 0

connection.subscribe(`command.${service}`, { callback: (_, message) => take({ message }) })
const manager = await stream.jetstreamManager()
await manager.consumers.add('events', { durable_name: service, ack_policy: AckPolicy.All, max_ack_pending: -1 })
const consumer = await stream.consumers.get('events', service)
void (async () => {
  for await (const message of await consumer.consume({ max_messages: 1_000 })) take({ message, event: message.subject.slice('events.'.length) })
})()
process.on('disconnect', () => process.exit())
process.send('ready')

function take(work) {
  waiting.push(work)
  if (working) return
  working = true
  setImmediate(workTogether)
}

/** Everything that waits, as one transaction. */
function workTogether() {
  working = false
  const together = waiting.splice(0, togetherMax)
  const report = []
  const replies = []
  const out = []
  let last
  begin.run()
  if (sentUpTo > 0) takeOut.run(sentUpTo)
  for (const { message, event } of together) {
    if (event !== undefined) last = message
    if (event !== undefined && (message.seq <= sequence || !handlers.has(event))) continue
    const { procedure, input, payload, at = Date.now() } = json.decode(message.data)
    tx.now = at
    const { instance = `product ${(input ?? payload).product}` } = input ?? payload // the population has no instances
    savepoint.run()
    emitted = []
    let refused
    let value
    try {
      if (event === undefined) value = definition.procedures.get(procedure).run(tx, input)
      else for (const handler of handlers.get(event)) handler.run(tx, { payload })
      for (const table of Object.values(tables)) table.flush()
    } catch (error) {
      for (const table of Object.values(tables)) table.forget()
      undo.run()
      emitted = []
      refused = error.reason ?? String(error)
    }
    release.run()
    out.push(...emitted)
    // An add to a cart, or a refusal, moves nobody else: there is nothing to wait for.
    if (event !== undefined || emitted.length > 0) report.push({ instance, event, refused, emitted: emitted.map((one) => one.event) })
    if (event === undefined) replies.push(() => message.respond(json.encode({ value, refused })))
  }
  if (last && last.seq > sequence) moveCursor.run((sequence = last.seq))
  commit.run()
  for (const reply of replies) reply()
  last?.ack()
  if (report.length > 0) connection.publish('progress', json.encode(report))
  if (out.length > 0) send(out)
  if (waiting.length > 0 && !working) {
    working = true
    setImmediate(workTogether)
  }
}

/** Published in order; what has arrived leaves the outbox with a later transaction. A message sent twice is one (`msgID`). */
function send(out) {
  const acknowledged = out.map(({ id, event, payload, at }) =>
    stream.publish(`events.${event}`, json.encode({ payload, at }), { msgID: `${service}.${id}` }))
  sending = Promise.all([sending, ...acknowledged]).then(() => (sentUpTo = out.at(-1).id))
}
