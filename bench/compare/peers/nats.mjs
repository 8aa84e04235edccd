/**
 * NATS. Option `stream`: JetStream with a file store, published to with acknowledgements, `inFlight` of them open, and read by an ordered consumer;
 * this server writes a message to its file before it acknowledges it, and syncs the file every two minutes. Without `stream`: core NATS, which
 * keeps nothing.
 */
import { connect } from 'nats'
import { oneByOne, payloadOf, received } from './event-payload.mjs'
import { startServer, version } from './nats-server.mjs'

if (version === undefined) throw Object.assign(new Error('nats-server is not installed'), { code: 'ERR_MODULE_NOT_FOUND' })

const subject = 'events'
const publishedAtOnce = 512
const encoder = new TextEncoder()
const decoder = new TextDecoder()

async function eventsToOne({ plan, data, directory, options }) {
  const { EventWitness, eventOf } = data.events
  const server = await startServer(directory)
  const publisher = await connect({ port: server.port })
  const subscriber = await connect({ port: server.port })
  const witness = new EventWitness(plan)
  const bytesOf = (id) => encoder.encode(payloadOf(eventOf(id)))
  const playWith = options.stream ? await jetStream(publisher, subscriber) : await core(publisher, subscriber)

  async function jetStream(from, to) {
    const manager = await from.jetstreamManager()
    await manager.streams.add({ name: 'EVENTS', subjects: [subject] })
    const consumer = await to.jetstream().consumers.get('EVENTS')
    const messages = await consumer.consume({ max_messages: 4_096 })
    void (async () => {
      for await (const message of messages) received(witness, decoder.decode(message.data))
    })()
    const js = from.jetstream()
    const publish = (id) => js.publish(subject, bytesOf(id))
    const many = async (first, count) => {
      let next = first
      const caller = async () => {
        while (next < first + count) await publish(next++)
      }
      await Promise.all(Array.from({ length: options.inFlight ?? 1 }, caller))
    }
    return { many, one: oneByOne(witness, publish) }
  }

  async function core(from, to) {
    to.subscribe(subject, { callback: (_error, message) => received(witness, decoder.decode(message.data)) })
    await to.flush()
    const publish = async (id) => from.publish(subject, bytesOf(id))
    const many = async (first, count) => {
      for (let start = first; start < first + count; start += publishedAtOnce) {
        for (let id = start; id < Math.min(start + publishedAtOnce, first + count); id += 1) void publish(id)
        await from.flush()
      }
    }
    return { many, one: oneByOne(witness, publish) }
  }

  return {
    async play(first, count, latency) {
      if (options.how === 'one') return await playWith.one(first, count, latency)
      await playWith.many(first, count)
      await witness.until(first + count)
    },
    digest: () => witness.digest(),
    async close() {
      await Promise.all([publisher.close(), subscriber.close()])
      await server.kill()
    },
  }
}

export const contestants = { events: eventsToOne }
