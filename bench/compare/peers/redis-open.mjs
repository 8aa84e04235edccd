/** A server whose append-only file is synced before each answer, and the callers who share one connection to it. */
import { performance } from 'node:perf_hooks'
import { startServer } from './redis-server.mjs'

export function startDurable(directory) {
  return startServer(directory, { appendonly: 'yes', appendfsync: 'always', 'auto-aof-rewrite-percentage': 0 })
}

/** What callers ask in one turn of the event loop is written together (pipelining). `answered` gets the reply of an operation. */
export function pipelinedPlay(connection, inFlight, commandOf, answered) {
  return (first, count, latency) =>
    new Promise((resolve, reject) => {
      const end = first + count
      let next = first
      let left = count
      const call = () => {
        const index = next
        next += 1
        const start = latency && performance.now()
        connection.send(commandOf(index), (reply) => {
          answered(index, reply)
          if (latency) latency.record(performance.now() - start)
          left -= 1
          if (left === 0) resolve()
          else if (next < end) call()
        }, reject)
      }
      while (next < Math.min(first + inFlight, end)) call()
    })
}
