/**
 * Lines to a stream, in blocks, waiting for a reader that is slower. A reader that went away (`sluice log … | head`) ends the
 * command in silence.
 */
const blockLength = 64 * 1_024

/** What is written to; the process's streams, or a test's. */
export interface Sink {
  readonly isTTY?: boolean | undefined
  write(text: string): boolean
  once(event: 'drain' | 'error' | 'close', listener: (error?: unknown) => void): unknown
  off(event: 'drain' | 'error' | 'close', listener: (error?: unknown) => void): unknown
}

/** Whoever reads has gone: nothing more is wanted. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone'
}

export class Output {
  readonly #sink: Sink
  #block = ''
  #failure: unknown

  constructor(sink: Sink) {
    this.#sink = sink
    sink.once('error', (error) => {
      this.#failure = (error as { readonly code?: unknown } | undefined)?.code === 'EPIPE' ? new ReaderGone() : error
    })
  }

  get isTerminal(): boolean {
    return this.#sink.isTTY === true
  }

  /** Adds a line; answers whether enough has come together to `flush`. */
  line(text: string): boolean {
    this.#block += `${text}\n`
    return this.#block.length >= blockLength
  }

  /** Text that the next one overwrites; only for a terminal. */
  raw(text: string): void {
    this.#sink.write(text)
  }

  async flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#block === '') return
    const block = this.#block
    this.#block = ''
    if (!this.#sink.write(block)) await this.#drained()
    if (this.#failure !== undefined) throw this.#failure
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        for (const event of ['drain', 'error', 'close'] as const) this.#sink.off(event, done)
        resolve()
      }
      for (const event of ['drain', 'error', 'close'] as const) this.#sink.once(event, done)
    })
  }
}

/** A line on a terminal that tells how far it is, overwritten each time; nothing elsewhere. */
export class Progress {
  readonly #output: Output
  #shown = ''

  constructor(output: Output) {
    this.#output = output
  }

  /** Shows whole percents only: a line is written a hundred times at most for each text. */
  show(what: string, part?: number): void {
    if (!this.#output.isTerminal) return
    const percent = part === undefined ? '' : ` ${Math.min(100, Math.floor(part * 100))} %`
    const text = `${what}${percent}`
    if (text === this.#shown) return
    this.#shown = text
    this.#output.raw(`\r\u001b[K${text}`)
  }

  clear(): void {
    if (this.#shown === '') return
    this.#output.raw('\r\u001b[K')
    this.#shown = ''
  }
}
