/** PostgreSQL: a row in an outbox and its NOTIFY in one transaction, LISTEN on another connection. One after the other. */
import { oneByOne, payloadOf, received } from './event-payload.mjs'
import { ask, startServer } from './postgres-server.mjs'

export async function eventsToOne({ plan, data, directory }) {
  const { EventWitness, eventOf } = data.events
  const server = await startServer(directory, 2)
  const [publisher, subscriber] = server.clients
  const witness = new EventWitness(plan)
  await publisher.query(`
    CREATE TABLE outbox (id integer PRIMARY KEY, event text NOT NULL);
    CREATE FUNCTION post(number integer, event text) RETURNS void LANGUAGE sql AS $$
      INSERT INTO outbox VALUES (number, event);
      SELECT pg_notify('events', event)
    $$`)
  subscriber.on('notification', ({ payload }) => received(witness, payload))
  await subscriber.query('LISTEN events')
  const post = { name: 'post', text: 'SELECT post($1, $2)' }
  return {
    play: oneByOne(witness, (id) => ask(publisher, post, [id, payloadOf(eventOf(id))])),
    digest: () => witness.digest(),
    close: () => server.kill(),
  }
}
