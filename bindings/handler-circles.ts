/**
 * Atomic handlers that would go round in a circle: found when the application is defined.
 *
 *    handler ──emits──► event ──is awaited by──► handler ── ...
 *
 * What a handler emits is what its `emits` says; the engine holds it to that. Where it says nothing, its own text is looked at for
 * `emit('<event>')`: that finds what most people write, before anything runs. What it does not find (an event emitted by a procedure that
 * the handler calls, a name that is computed) is found by the transaction in which it happens: a handler is not run twice along one
 * chain of causes (engine/txn/transaction.ts), so no circle ever turns.
 */
import type { AtomicHandlerProgram, EventProgram } from '../engine/index.js'
import { invalidDefinition } from './schema/definition.js'

/** Events by name, as the services that declare handlers call their own. */
export type OwnEvents = ReadonlyMap<string, number>

export function refuseCircles(handlers: readonly AtomicHandlerProgram[], events: readonly EventProgram[], ownEvents: (service: number) => OwnEvents): void {
  const emitted = handlers.map((handler) => handler.emits ?? writtenEvents(handler, ownEvents(handler.service)))
  const next = emitted.map((ordinals) => handlers.flatMap(({ events: awaited }, n) => (awaited.some((event) => ordinals.includes(event)) ? [n] : [])))
  const state = new Uint8Array(handlers.length) // 1: on the way, 2: leads into no circle
  const way: number[] = []
  const visit = (n: number): void => {
    if (state[n] === 2) return
    if (state[n] === 1) throw circle(way.slice(way.indexOf(n)))
    state[n] = 1
    way.push(n)
    for (const following of next[n]!) visit(following)
    way.pop()
    state[n] = 2
  }
  const circle = (round: readonly number[]): Error => {
    const names = round.map((n) => handlers[n]!.name)
    const steps = round.map((n, place) => {
      const following = handlers[round[(place + 1) % round.length]!]!
      const event = following.events.find((one) => emitted[n]!.includes(one))!
      return `'${handlers[n]!.name}' emits '${events[event]!.descriptor.name}'`
    })
    return invalidDefinition(
      `Handlers with atomic: true wait for each other in a circle: ${steps.join(', ')}, which '${names[0]}' waits for. ` +
        'Let one of them run after the commit (leave atomic out), or, where one never emits that event, say what it emits (emits: [...]).',
      { circle: names },
    )
  }
  for (let n = 0; n < handlers.length; n += 1) visit(n)
}

function writtenEvents({ run }: AtomicHandlerProgram, own: OwnEvents): readonly number[] {
  const text = String(run)
  const names = Array.from(text.matchAll(/\bemit\s*\(\s*(?:'(\w+)'|"(\w+)"|`(\w+)`)/g), ([, one, two, three]) => one ?? two ?? three ?? '')
  return names.flatMap((name) => own.get(name) ?? [])
}
