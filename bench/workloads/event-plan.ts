/**
 * Events for one subscriber: numbered, of about one hundred bytes, each to arrive once. Who subscribes notes what it was given (`EventWitness`);
 * what it must have been given follows from the plan alone.
 */
import { Checksum } from '../statistics.js'

export interface EventSettings {
  readonly operations: number
}
export type EventPlan = EventSettings

export interface PostedEvent {
  readonly id: number
  readonly account: number
  readonly amount: number
  readonly note: string
}

const accounts = 1_000
/** Made once: what an event costs is not what its text costs to make. */
const notes = Array.from({ length: 64 }, (_, n) => `a note of the usual length, as events have them, number ${String(n).padStart(10, '0')}`)

export const eventPlan = (settings: EventSettings): EventPlan => settings

export function eventOf(id: number): PostedEvent {
  return { id, account: id % accounts, amount: amountOf(id), note: notes[id & 63] as string }
}
const amountOf = (id: number): number => (id * 7_919) % 1_000_003

/** What the subscriber must have noted after the first `count` events of the plan. */
export function eventsDigest(count: number): string {
  let sum = 0
  for (let id = 0; id < count; id += 1) sum += amountOf(id)
  return new Checksum().number(count).number(sum).toString()
}

/** What one subscriber was given: everything once, or it fails. */
export class EventWitness {
  readonly #seen: Uint8Array
  #count = 0
  #sum = 0
  #awaited = Infinity
  #arrived: () => void = () => {}

  constructor(plan: EventPlan) {
    this.#seen = new Uint8Array(plan.operations)
  }

  received(id: number, amount: number): void {
    if (this.#seen[id] !== 0) throw new Error(`event ${id} came twice, or is none of the plan`)
    this.#seen[id] = 1
    this.#sum += amount
    this.#count += 1
    if (this.#count >= this.#awaited) this.#arrived()
  }

  /** Resolves when so many have come, since the beginning. */
  until(count: number): Promise<void> {
    if (this.#count >= count) return Promise.resolve()
    this.#awaited = count
    return new Promise((resolve) => {
      this.#arrived = () => {
        this.#awaited = Infinity
        resolve()
      }
    })
  }

  digest(): string {
    return new Checksum().number(this.#count).number(this.#sum).toString()
  }
}
