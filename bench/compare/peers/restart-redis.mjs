/**
 * Redis comes back from its append-only file. A row is one SET of a packed text (a hash with seven fields would be longer
 * to load). The log is written with `appendfsync no` while we prepare, which leaves the same bytes.
 *
 * Option `rewritten`: the file has been rewritten (BGREWRITEAOF) before the end, so that it begins with Redis' binary
 * snapshot; else it is the log as it was written.
 *
 * The clock includes the start of the program, some milliseconds.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { chunk, digestOfBank, inChunks, openBank, transferCommand } from './redis-bank.mjs'
import { isRewriting, startServer, warmUp } from './redis-server.mjs'

const settings = {
  appendonly: 'yes',
  appendfsync: 'no',
  'auto-aof-rewrite-percentage': 0,
  'aof-use-rdb-preamble': 'yes',
}

const lookMs = 50

async function prepared(task, load) {
  const server = await startServer(task.directory, settings)
  const { connection } = server
  await load(connection)
  if (task.options.rewritten) {
    await connection.ask(['BGREWRITEAOF'])
    while (await isRewriting(connection)) await sleep(lookMs)
  }
  await server.kill()
}

async function reopened(task, firstRead, digest) {
  const server = await startServer(task.directory, settings)
  const { connection } = server
  if ((await connection.ask(firstRead)) === null) throw new Error('the first read found nothing')
  return { pid: await server.pid(), digest: () => digest(connection), leave: () => server.kill() }
}

const rows = {
  warmUp,
  prepare: (task) =>
    prepared(task, (connection) =>
      inChunks(connection, 0, task.plan.rows, (id) => {
        const { owner, balance, opened, branch, status, note } = task.data.wideRow(id)
        return ['SET', `r:${id}`, `${owner}|${balance}|${opened}|${branch}|${status}|${note}`]
      })),
  reopen: (task) =>
    reopened(task, ['GET', `r:${task.plan.rows >> 1}`], async (connection) => {
      const count = await connection.ask(['DBSIZE'])
      let sum = 0
      for (let start = 0; start < task.plan.rows; start += chunk) {
        const length = Math.min(chunk, task.plan.rows - start)
        const keys = Array.from({ length }, (_, offset) => `r:${start + offset}`)
        for (const text of await connection.ask(['MGET', ...keys])) sum += Number(text.split('|')[1])
      }
      return task.data.rowsDigest(count, sum)
    }),
}

const transfers = {
  warmUp,
  prepare: (task) =>
    prepared(task, async (connection) => {
      await openBank(task, connection)
      await inChunks(connection, 0, task.plan.transfers, await transferCommand(task, connection))
    }),
  reopen: (task) =>
    reopened(task, ['HGET', `a:${task.plan.accounts >> 1}`, 'balance'], (connection) => digestOfBank(task, connection)),
}

export const restarters = { rows, transfers }
