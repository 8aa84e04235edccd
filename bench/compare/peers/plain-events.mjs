/** An emitter of Node: nothing is kept, and nothing is between the two. */
import { EventEmitter } from 'node:events'
import { performance } from 'node:perf_hooks'

export function eventsToOne({ plan, data }) {
  const { EventWitness, eventOf } = data.events
  const witness = new EventWitness(plan)
  const emitter = new EventEmitter()
  emitter.on('posted', ({ id, amount }) => witness.received(id, amount))
  return {
    play(first, count, latency) {
      for (let id = first; id < first + count; id += 1) {
        const start = latency && performance.now()
        emitter.emit('posted', eventOf(id))
        if (latency) latency.record(performance.now() - start)
      }
    },
    digest: () => witness.digest(),
    close() {},
  }
}
