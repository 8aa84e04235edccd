/** What an aggregate says, as the database and `sluicedb/testing` both apply it: folding events, and taking what was decided. */
import { SluiceError } from '../../engine/base/errors.js'
import { didYouMean } from '../../engine/index.js'
import { shown } from '../schema/definition.js'
import type { AggregateDefinition, CommandDefinition, Decision, EventMoment } from './aggregate.js'
import type { EventShapes } from './event-history.js'

export type Payload = Readonly<Record<string, unknown>>
/** Checked, as it will be recorded. */
export interface CheckedEvent {
  readonly type: string
  readonly payload: Payload
}

export class AggregateRules {
  readonly definition: AggregateDefinition
  /** Names the aggregate in messages: `'shop.cart'`. */
  readonly name: string

  constructor(definition: AggregateDefinition) {
    this.definition = definition
    this.name = definition.service === undefined ? definition.name : `${definition.service}.${definition.name}`
  }

  /** The state behind an event of today's shape. */
  fold(state: unknown, type: string, payload: Payload, at: EventMoment): unknown {
    const next = this.definition.evolve.get(type)!(state, payload, at)
    if (next === undefined) throw invalidUse(`evolve.${type} of aggregate "${this.name}" answered nothing: it answers the state after the event.`)
    return next
  }

  shapesOf(type: string): EventShapes {
    const shapes = this.definition.events.get(type)
    if (shapes !== undefined) return shapes
    throw invalidUse(`Aggregate "${this.name}" has no event ${shown(type)}${didYouMean(type, [...this.definition.events.keys()])}. What has been recorded stays: an event that happens no more keeps its place in events and evolve.`)
  }

  /** The events that a command answered, or that are appended. */
  checked(answer: unknown, what: string): readonly CheckedEvent[] {
    if (answer === undefined) return []
    const list = Array.isArray(answer) ? (answer as readonly unknown[]) : [answer]
    return list.map((one) => {
      if (typeof one !== 'object' || one === null || typeof (one as { type?: unknown }).type !== 'string') {
        throw invalidUse(`${what} of aggregate "${this.name}" takes events, { type: 'added', payload: { … } }, not ${shown(one)}.`)
      }
      const { type, payload, ...rest } = one as { readonly type: string; readonly payload?: unknown }
      const [unknown] = Object.keys(rest)
      if (unknown !== undefined) throw invalidUse(`An event of aggregate "${this.name}" has a type and a payload, and no "${unknown}": put it into the payload.`)
      return { type, payload: this.shapesOf(type).normalize(payload) }
    })
  }

  decide(command: CommandDefinition, state: unknown, input: Payload, it: Decision): readonly CheckedEvent[] {
    return this.checked(command.run(state, input, it), `Command ${command.name}`)
  }
}

export const invalidUse = (message: string): SluiceError => SluiceError.of('INVALID_USE', message)
