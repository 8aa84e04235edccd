/**
 * The marketplace of eight processes, seen from its clients: calls that answer when the service that was asked has
 * committed, and word of when the last effect of a call has become visible somewhere.
 */
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { connect, JSONCodec } from 'nats'
import { aborted, audienceOf, definitionOf, openEntries, openOrders, serviceNames, serviceOf } from './definitions.mjs'
import { startServer } from '../peers/nats-server.mjs'
import { entryQueries, SqliteTable } from './sqlite-tables.mjs'

const json = JSONCodec()
const answerMs = 60_000
const ticksPerSecond = 100

/** `finished(instance, refusedLate)`: nothing that this call has caused is still on its way. */
export async function startPeer(directory, finished) {
  const server = await startServer(directory)
  const connection = await connect({ servers: `127.0.0.1:${server.port}` })
  const manager = await connection.jetstreamManager()
  await manager.streams.add({ name: 'events', subjects: ['events.>'], storage: 'file' })
  const processes = await Promise.all(serviceNames.map((service) => startService(service, directory, server.port)))
  const pids = [server.pid, ...processes.map(({ pid }) => pid)]

  const audiences = new Map()
  const audience = (event) => {
    if (!audiences.has(event)) audiences.set(event, audienceOf(event))
    return audiences.get(event)
  }
  const open = new Map()
  connection.subscribe('progress', {
    callback: (_, message) => {
      for (const { instance, event, refused, emitted } of json.decode(message.data)) {
        const seen = open.get(instance) ?? { due: new Map([['', 1]]), refused: false }
        open.set(instance, seen)
        const add = (name, by) => seen.due.set(name, (seen.due.get(name) ?? 0) + by)
        add(event ?? '', -1)
        for (const name of emitted) add(name, audience(name))
        if (refused !== undefined && event !== undefined) seen.refused = true
        if ([...seen.due.values()].some((left) => left !== 0)) continue
        open.delete(instance)
        finished(instance, seen.refused)
      }
    },
  })

  async function call(procedure, input) {
    const data = json.encode({ procedure: procedure.name.slice(procedure.name.indexOf('.') + 1), input })
    const answer = await connection.request(`command.${serviceOf(procedure)}`, data, { timeout: answerMs })
    const { value, refused } = json.decode(answer.data)
    if (refused !== undefined) throw aborted(refused)
    return value
  }

  return {
    /** As much of a database as the driver of the workload asks for. */
    db: { call, submit: async (procedure, input) => ({ value: await call(procedure, input), repeated: false }) },
    /** Calls whose effects are still on their way. */
    get onTheirWay() {
      return open.size
    },
    snapshot: () => snapshotOf(directory),
    cpuSeconds: () => pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
    async kill() {
      await connection.close()
      for (const one of processes) one.kill('SIGKILL')
      await server.kill()
    },
  }
}

function startService(service, directory, port) {
  const program = fileURLToPath(new URL('service-process.mjs', import.meta.url))
  const started = fork(program, [JSON.stringify({ service, directory, port })])
  return new Promise((resolve, reject) => {
    started.once('message', () => resolve(started))
    started.once('exit', (code) => reject(new Error(`${service} ended with ${code}`)))
  })
}

/** All files, each at its newest commit: as near to one moment as eight files can be had. */
function snapshotOf(directory) {
  const files = serviceNames.map((service) => {
    const db = new Database(join(directory, `${service}.db`), { readonly: true })
    db.exec('BEGIN')
    db.prepare('SELECT 1 FROM cursor').get()
    return [service, db]
  })
  const tables = new Map()
  for (const [service, db] of files)
    for (const [name, table] of definitionOf(service).tables) tables.set(`${service}.${name}`, new SqliteTable(db, name, table))
  const query = entryQueries(new Map(files).get('seller'), { openEntries, openOrders })
  return {
    table: ({ name }) => tables.get(name),
    query,
    [Symbol.dispose]() {
      for (const [, db] of files) db.close()
    },
  }
}

function cpuSecondsOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
