/** From whoever publishes to one subscriber, in one process on both ends; brokers are a process between them. */
export function streamSections({ sluicedb, redis, postgres, nats, plain }, { number }) {
  const many = number('events', 400, 300_000)
  const inFlight = number('inFlight', 64, 1_024)
  const together = `${inFlight.toLocaleString('en')} in flight`
  const entry = (name, module, share, options, latency = false) =>
    ({ name, module, contestant: 'events', count: Math.ceil(many * share), options, latency })
  const one = (name, module, share, options) => entry(name, module, share, { ...options, how: 'one' }, true)
  const few = 1 / 300
  return [
    {
      id: 'stream-latency', kind: 'events', settings: {}, unit: 'µs', better: 'lower', of: 'p50',
      title: 'From publishing an event to its subscriber, one at a time: p50',
      about: 'Events of 100 bytes. Nobody is handed an event that is not on disk, but for those whose name says so.',
      entries: [
        one('sluicedb, workers: 0', sluicedb, few, { file: true, workers: 0 }),
        one('sluicedb, 1 worker', sluicedb, few, { file: true, workers: 1 }),
        one('Redis Streams, AOF always', redis, few, {}),
        one('PostgreSQL, outbox and NOTIFY', postgres, few, {}),
        one('NATS JetStream (written, not synced)', nats, few, { stream: true }),
        one('core NATS (nothing on disk)', nats, few, {}),
      ],
    },
    {
      id: 'stream-rate', kind: 'events', settings: {}, unit: '/s', better: 'higher', of: 'rates',
      title: 'Events to one live subscriber',
      about: 'The same events, as fast as they can be published; the clock ends when the subscriber has the last one.',
      entries: [
        entry('sluicedb, submitMany of 4,096', sluicedb, 1, { file: true, workers: 1, how: 'many' }),
        entry(`Redis Streams, AOF always, ${together}`, redis, 1 / 4, { inFlight }),
        entry(`NATS JetStream (written, not synced), ${together}`, nats, 1 / 12, { stream: true, inFlight }),
        entry('core NATS (nothing on disk)', nats, 1 / 2, {}),
        entry('EventEmitter (nothing on disk)', plain, 8, {}),
      ],
    },
  ]
}
