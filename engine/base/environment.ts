/** What the engine may know of the world: the clock and randomness. Everything else in it is a function of its input. */
export interface Environment {
  /** Wall clock, milliseconds since the epoch, whole. May jump; read once, at open. */
  wallMs(): number
  /** Monotonic clock, milliseconds with a fraction, the same origin on every thread of the process. */
  monotonicMs(): number
  /** `bytes` unpredictable bytes: database ids and seeds. */
  randomBytes(bytes: number): Uint8Array
  /** Runs `work` when the code that runs now has come to its end: a microtask. */
  atEndOfTick(work: () => void): void
  /** Runs `work` in the next turn of the event loop; keeps the process alive until then. */
  soon(work: () => void): void
  /** Runs `work` after some milliseconds, unless the answer is called first. Keeps the process alive only where somebody waits for it. */
  later(ms: number, work: () => void, isAwaited?: boolean): () => void
  /** Bytes of memory and processors of the machine. */
  readonly memoryBytes: number
  readonly processors: number
  readonly architecture: string
}
