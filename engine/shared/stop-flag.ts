/** One word through which a thread that never turns its event loop is told to stop. */
export class StopFlag {
  readonly buffer: SharedArrayBuffer
  readonly #word: Int32Array

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer
    this.#word = new Int32Array(buffer)
  }

  raise(): void {
    Atomics.store(this.#word, 0, 1)
  }
  get isRaised(): boolean {
    return Atomics.load(this.#word, 0) === 1
  }
}
