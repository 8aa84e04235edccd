/** An event as brokers carry it: JSON with the number in front, and how the subscriber reads it. */
import { performance } from 'node:perf_hooks'

export const payloadOf = (event) => JSON.stringify(event)

export function received(witness, text) {
  const { id, amount } = JSON.parse(text)
  witness.received(id, amount)
}

/** Publishes one after the other, each when the subscriber has the one before. `publish(id)` resolves when the broker has it. */
export function oneByOne(witness, publish) {
  return async (first, count, latency) => {
    for (let id = first; id < first + count; id += 1) {
      const start = performance.now()
      const published = publish(id)
      await Promise.all([published, witness.until(id + 1)])
      latency?.record(performance.now() - start)
    }
  }
}
