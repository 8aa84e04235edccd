/**
 * Redis with an append-only file that is synced before each answer. Callers share one connection, on which what they ask is
 * written together (pipelining): the best that one process of Node can do.
 *
 * Options of a transfer: `inFlight`; `checkpoints: 'always'`: the file is rewritten (BGREWRITEAOF) again and again, as long as
 * a round lasts; else never.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { digestOfBank, openBank, transferCommand } from './redis-bank.mjs'
import { eventsToOne } from './redis-events.mjs'
import { pipelinedPlay, startDurable } from './redis-open.mjs'
import { isRewriting } from './redis-server.mjs'
import { smallBankCustomers } from './redis-smallbank.mjs'
import { tpccWarehouses } from './redis-tpcc.mjs'
import { ycsbRows } from './redis-ycsb.mjs'

const lookMs = 5

async function transfers(task) {
  const server = await startDurable(task.directory)
  const { connection } = server
  await openBank(task, connection)
  const commandOf = await transferCommand(task, connection)
  const { inFlight = 1, checkpoints } = task.options
  let isPlaying = false
  let rewriting = Promise.resolve()
  let rewrites = 0

  const rewrite = async () => {
    while (isPlaying) {
      await connection.ask(['BGREWRITEAOF'])
      while (await isRewriting(connection)) await sleep(lookMs)
      rewrites += 1
    }
  }
  const transferAll = pipelinedPlay(connection, inFlight, commandOf, () => {})

  return {
    async play(first, count, latency) {
      isPlaying = true
      if (checkpoints === 'always') rewriting = rewrite()
      try {
        await transferAll(first, count, latency)
      } finally {
        isPlaying = false
      }
    },
    settle: () => rewriting,
    besides() {
      const before = rewrites
      rewrites = 0
      return before
    },
    digest: () => digestOfBank(task, connection),
    close: () => server.kill(),
  }
}

export const contestants = { transfer: transfers, ycsb: ycsbRows, smallbank: smallBankCustomers, tpcc: tpccWarehouses, events: eventsToOne }
