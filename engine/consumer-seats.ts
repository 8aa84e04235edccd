/**
 * Who handles the deliveries of a consumer: its members, each with a seat, where deliveries wait that are ready and are handled, some at a time.
 *
 *   ready ──► the seat of its key ──► its member handles it, until its calls have ended too ──► ended
 *      └────► nobody's, while there is no member or it is paused
 *
 * Invariants:
 *   G1  A key goes to the same member as long as the members are the same (highest random weight: Thaler and Ravishankar, 1998).
 *   G4  A delivery has ended when its handler has, and its calls have. What it ends with is thrown away if the consumer began anew meanwhile.
 *   G5  A delivery that holds what is being erased is given back before it is handed out.
 */
import { hashEnd, hashStart, hashText } from './base/hash.js'
import type { SluiceError } from './base/errors.js'
import type { ConsumerDelivery } from './consumer-delivery.js'
import type { ConsumerLife } from './consumer-life.js'

export type Verdict =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: string | null; readonly message: string; readonly delayMs?: number | undefined }
  | { readonly kind: 'dead'; readonly message: string }
  /** The member has left: nobody has handled it. */
  | { readonly kind: 'left' }

/** Who handles deliveries. */
export interface SeatHolder {
  readonly concurrency: number
  /** Never rejects. */
  handle(delivery: ConsumerDelivery): Promise<Verdict>
  /** The consumer does not go on by itself. */
  stopped(error: SluiceError): void
  /** The consumer has come further, or it has stopped. */
  moved(): void
}

interface Seat {
  readonly holder: SeatHolder
  readonly number: number
  readonly ready: ConsumerDelivery[]
  inFlight: number
}

export interface ConsumerSeatsParts {
  readonly life: () => ConsumerLife
  readonly isPaused: () => boolean
  readonly stale: (delivery: ConsumerDelivery) => void
  readonly ended: (delivery: ConsumerDelivery, verdict: Verdict) => void
}

export class ConsumerSeats {
  readonly #parts: ConsumerSeatsParts
  readonly #seats: Seat[] = []
  #seatsEver = 0
  /** Nobody can take them now. */
  #unassigned: ConsumerDelivery[] = []
  #inFlight = 0
  #whenEnded: (() => void)[] = []

  constructor(parts: ConsumerSeatsParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#seats.length
  }
  get inFlight(): number {
    return this.#inFlight
  }

  take(holder: SeatHolder): void {
    this.#seats.push({ holder, number: (this.#seatsEver += 1), ready: [], inFlight: 0 })
    this.assignAnew()
  }

  /** Before its handlers end: what it gives back, and what waited for it, goes to others. */
  leave(holder: SeatHolder): void {
    const at = this.#seats.findIndex((seat) => seat.holder === holder)
    if (at < 0) return
    const [seat] = this.#seats.splice(at, 1)
    this.#unassigned.push(...seat!.ready.splice(0))
    this.assignAnew()
  }

  /** Those that may take deliveries, or the keys that they take, are others than before. */
  assignAnew(): void {
    const ready = this.#unassigned
    this.#unassigned = []
    for (const seat of this.#seats) ready.push(...seat.ready.splice(0))
    for (const delivery of ready) this.assign(delivery)
  }

  /** The turn of a delivery has come. */
  assign(delivery: ConsumerDelivery): void {
    const seat = this.#parts.isPaused() || this.#parts.life().isStill ? undefined : this.#seatOf(delivery.key)
    if (seat === undefined) this.#unassigned.push(delivery)
    else {
      seat.ready.push(delivery)
      this.#begin(seat)
    }
  }

  /** G1. */
  #seatOf(key: string): Seat | undefined {
    if (this.#seats.length < 2) return this.#seats[0]
    let best: Seat | undefined
    let most = -1
    for (const seat of this.#seats) {
      const weight = hashEnd(hashText(hashText(hashStart, `${seat.number} `), key))
      if (weight > most) {
        best = seat
        most = weight
      }
    }
    return best
  }

  #begin(seat: Seat): void {
    const life = this.#parts.life()
    while (seat.ready.length > 0 && seat.inFlight < seat.holder.concurrency && life.stopped === undefined && !life.isStill) {
      const delivery = seat.ready.shift()!
      if (delivery.erasure !== undefined) {
        this.#parts.stale(delivery) // G5
        continue
      }
      seat.inFlight += 1
      this.#inFlight += 1
      delivery.begin()
      void this.#handle(seat, delivery, life)
    }
  }

  async #handle(seat: Seat, delivery: ConsumerDelivery, life: ConsumerLife): Promise<void> {
    const verdict = await seat.holder.handle(delivery)
    await delivery.settled() // G4
    seat.inFlight -= 1
    this.#inFlight -= 1
    if (!life.isOver) this.#parts.ended(delivery, verdict)
    if (this.#seats.includes(seat)) this.#begin(seat)
    if (this.#inFlight === 0) for (const ended of this.#whenEnded.splice(0)) ended()
  }

  /** Resolves when nobody handles anything. */
  async idle(): Promise<void> {
    while (this.#inFlight > 0) await new Promise<void>((resolve) => this.#whenEnded.push(resolve))
  }

  /** Nothing is ready any more. */
  clear(): void {
    this.#unassigned = []
    for (const seat of this.#seats) seat.ready.length = 0
  }

  stopped(error: SluiceError): void {
    for (const { holder } of this.#seats) holder.stopped(error)
  }
  moved(): void {
    for (const { holder } of this.#seats) holder.moved()
  }
}
