/**
 * The world of a simulated database: a clock that moves when it is told to, an event loop that turns when it is told to.
 *
 * The real one runs microtasks, immediates and timers between the lines of main's code, in an order that nobody chooses.
 * Here they wait in lists, and the scheduler decides when main has its turn.
 */
import type { Environment } from '../../engine/base/environment.js'

interface Timer {
  readonly atMs: number
  readonly work: () => void
}

export class VirtualWorld implements Environment {
  readonly memoryBytes = 2 ** 30
  readonly processors = 64
  readonly architecture = 'x64'
  /** The wall clock of this life begins here and goes with the monotonic one. */
  readonly #wallMs: number
  #nowMs = 5_000
  #atEnd: (() => void)[] = []
  #soon: (() => void)[] = []
  readonly #timers = new Set<Timer>()

  constructor(wallMs: number) {
    this.#wallMs = wallMs
  }

  wallMs(): number {
    return this.#wallMs + Math.floor(this.#nowMs)
  }
  monotonicMs(): number {
    return this.#nowMs
  }
  randomBytes(bytes: number): Uint8Array {
    return Uint8Array.from({ length: bytes }, (_, n) => n * 7 + 1)
  }
  atEndOfTick(work: () => void): void {
    this.#atEnd.push(work)
  }
  soon(work: () => void): void {
    this.#soon.push(work)
  }
  later(ms: number, work: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, work }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Time passes; what was due runs in its order. */
  pass(ms: number): void {
    this.#nowMs += ms
    const due = [...this.#timers].filter((timer) => timer.atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs)
    for (const timer of due) if (this.#timers.delete(timer)) timer.work()
  }

  /** The code that ran has come to its end. */
  endTick(): void {
    while (this.#atEnd.length > 0) for (const work of this.#atEnd.splice(0)) work()
  }

  /** One turn of the event loop: what was asked for before it, not what that asks for. */
  turn(): void {
    for (const work of this.#soon.splice(0)) {
      work()
      this.endTick()
    }
  }
}
