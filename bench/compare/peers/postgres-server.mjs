/**
 * A PostgreSQL of our own: a cluster made by `initdb` in a directory of the run, reached through a socket, stopped and removed with us.
 *
 * PostgreSQL refuses to run as root. A root's run gives the cluster to the system's user `postgres`, who must be able to walk to the
 * directory. The socket lies in a temporary directory, because its path must be short; nothing else does.
 *
 * Settings: fsync and synchronous_commit are on, serializable is the default, everything else is what makes it fast: memory,
 * checkpoints that do not come during a run, no compiler for short statements.
 */
import pg from 'pg'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const debianPrograms = '/usr/lib/postgresql'
const userName = 'postgres'
const port = 5432
const startMsMax = 60_000

const settings = {
  fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', default_transaction_isolation: 'serializable',
  listen_addresses: '', port: String(port), max_connections: '40', shared_buffers: '2GB', huge_pages: 'try',
  max_wal_size: '16GB', checkpoint_timeout: '30min', wal_level: 'minimal', max_wal_senders: '0', wal_buffers: '64MB',
  jit: 'off', max_pred_locks_per_transaction: '256', logging_collector: 'off',
}

/** What we store fits into a number. */
pg.types.setTypeParser(pg.types.builtins.INT8, Number)

/** Ends the server when its input ends, that is when our process has ended, however it did. */
const guard = '"$@" & server=$!; exec 2> /dev/null; cat > /dev/null; kill -QUIT $server; wait $server'

const programs = findPrograms()
if (programs === undefined) {
  throw Object.assign(new Error('PostgreSQL (initdb and postgres) is not installed'), { code: 'ERR_MODULE_NOT_FOUND' })
}

function findPrograms() {
  const versions = existsSync(debianPrograms) ? readdirSync(debianPrograms).sort((a, b) => Number(b) - Number(a)) : []
  const known = versions.map((version) => join(debianPrograms, version, 'bin'))
  const onPath = (process.env.PATH ?? '').split(delimiter)
  return [...known, ...onPath].find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')))
}

/** Who the server runs as: us, or where we are root somebody else. */
function identity() {
  if (process.getuid?.() !== 0) return {}
  const numbers = ['-u', '-g'].map((flag) => Number(spawnSync('id', [flag, userName], { encoding: 'utf8' }).stdout))
  const [uid, gid] = numbers
  if (!(uid > 0 && gid > 0)) throw new Error(`PostgreSQL does not run as root, and there is no user "${userName}"`)
  return { uid, gid }
}

function ownDirectory(directory, { uid, gid }) {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (uid !== undefined) chownSync(directory, uid, gid)
}

/** The promise settles when `connections` of them are open. */
export async function startServer(directory, connections) {
  const who = identity()
  if (who.uid !== undefined) chmodSync(directory, 0o711)
  const data = join(directory, 'postgres')
  const sockets = mkdtempSync(join(tmpdir(), 'bench-postgres-'))
  ownDirectory(data, who)
  ownDirectory(sockets, who)
  const where = { cwd: data, ...who }
  const flags = ['-D', data, '-A', 'trust', '-U', userName, '-E', 'UTF8', '--locale=C', '--no-sync']
  const made = spawnSync(join(programs, 'initdb'), flags, { ...where, encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr || made.error}`)

  const all = { ...settings, unix_socket_directories: sockets }
  const words = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const command = ['-c', guard, 'sh', join(programs, 'postgres'), '-D', data, ...words]
  const log = join(directory, 'postgres.log')
  const shell = spawn('sh', command, { ...where, stdio: ['pipe', 'ignore', openSync(log, 'w')] })
  const removeSockets = () => rmSync(sockets, { recursive: true, force: true })
  process.once('exit', removeSockets)
  let hasEnded = false
  const ended = new Promise((resolve) => shell.once('exit', resolve)).then(() => (hasEnded = true))

  const connect = async () => {
    const client = new pg.Client({ host: sockets, port, user: userName, database: 'postgres' })
    client.on('error', () => {}) // a query that waits is told; one that does not has nobody to tell
    await client.connect()
    return client
  }
  const first = await firstConnection(connect, () => hasEnded, log)
  const others = await Promise.all(Array.from({ length: connections - 1 }, connect))
  const clients = [first, ...others]
  return {
    clients,
    async kill() {
      await Promise.all(clients.map((client) => client.end()))
      shell.stdin.end()
      await ended
      removeSockets()
    },
  }
}

async function firstConnection(connect, hasEnded, log) {
  const deadline = Date.now() + startMsMax
  for (;;) {
    try {
      return await connect()
    } catch (error) {
      if (hasEnded() || Date.now() > deadline) {
        throw new Error(`PostgreSQL did not start: ${readFileSync(log, 'utf8').trim()}`, { cause: error })
      }
      await sleep(20)
    }
  }
}

/** Serialization failure, deadlock: the transaction may be done again. */
const retryable = new Set(['40001', '40P01'])

/** A statement that is a transaction by itself, again until it is not in the way of others. */
export async function ask(client, statement, values) {
  for (;;) {
    try {
      return await client.query({ ...statement, values })
    } catch (error) {
      if (!retryable.has(error.code)) throw error
    }
  }
}

/** Each connection takes the next operation when it has answered the one before. `operate(client, index)`. */
export function connectionsPlay(clients, operate) {
  return async (first, count, latency) => {
    const end = first + count
    let next = first
    const caller = async (client) => {
      while (next < end) {
        const index = next
        next += 1
        const start = latency && performance.now()
        await operate(client, index)
        if (latency) latency.record(performance.now() - start)
      }
    }
    await Promise.all(clients.map(caller))
  }
}

/** Rows for a new table, as columns of arrays: one statement for `chunk` of them. */
export async function insertRows(client, table, types, rows, chunk = 5_000) {
  const names = Object.keys(types)
  const arrays = names.map((name, place) => `$${place + 1}::${types[name]}[]`)
  const text = `INSERT INTO ${table} (${names.join(', ')}) SELECT * FROM unnest(${arrays.join(', ')})`
  let columns = names.map(() => [])
  const flush = async () => {
    if (columns[0].length > 0) await client.query({ name: `load ${table}`, text, values: columns })
    columns = names.map(() => [])
  }
  for (const row of rows) {
    for (const [place, name] of names.entries()) columns[place].push(row[name])
    if (columns[0].length === chunk) await flush()
  }
  await flush()
}
