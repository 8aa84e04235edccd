/**
 * Redis Streams: XADD on one connection, `XREAD BLOCK` on another. The append-only file is synced before an entry is answered or handed out.
 * `inFlight` entries are on their way at a time, written together.
 */
import { oneByOne, payloadOf, received } from './event-payload.mjs'
import { pipelinedPlay, startDurable } from './redis-open.mjs'

const stream = 'events'
const entriesAtOnce = 4_096

export async function eventsToOne({ plan, data, directory, options }) {
  const { EventWitness, eventOf } = data.events
  const server = await startDurable(directory)
  const { connection } = server
  const subscriber = await server.connect()
  const witness = new EventWitness(plan)
  let isClosing = false
  const listening = (async () => {
    for (let last = '0'; !isClosing; ) {
      const reply = await subscriber.ask(['XREAD', 'COUNT', entriesAtOnce, 'BLOCK', 0, 'STREAMS', stream, last])
      for (const [id, [, text]] of reply[0][1]) {
        received(witness, text)
        last = id
      }
    }
  })()
  const failed = listening.catch((error) => {
    if (!isClosing) throw error
  })
  failed.catch(() => {})
  const command = (id) => ['XADD', stream, '*', 'e', payloadOf(eventOf(id))]
  const publishAll = pipelinedPlay(connection, options.inFlight ?? 1, command, () => {})
  const alone = oneByOne(witness, (id) => connection.ask(command(id)))
  return {
    async play(first, count, latency) {
      if (options.how === 'one') return await alone(first, count, latency)
      await publishAll(first, count, latency)
      await witness.until(first + count)
    },
    digest: () => witness.digest(),
    async close() {
      isClosing = true
      subscriber.end()
      await server.kill()
    },
  }
}
