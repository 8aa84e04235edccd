/** Time and chance, the same in every run of the same transaction. */
export interface Clock {
  /** Milliseconds since the epoch; the same for the whole batch, never running backwards. */
  readonly now: number
  /** From 0, below 1. */
  random(): number
  uuid(): string
}
