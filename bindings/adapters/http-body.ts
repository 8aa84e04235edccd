/** Bodies, within bounds of bytes, time and memory: each is read to its end, or its request is refused and the rest not read. */
import { nodeEnvironment } from '../../engine/base/environment-node.js'
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'
import type { HttpRequest } from './fetch-types.js'
import { HttpRefusal } from './http-error.js'

export class BodyReader {
  readonly #bytesMax: number
  readonly #msMax: number
  /** Bytes of all bodies that are being read. */
  #bytesHeld = 0

  constructor(bytesMax: number, msMax: number) {
    this.#bytesMax = bytesMax
    this.#msMax = msMax
  }

  /** The JSON of a body; undefined where there is none. */
  async json(request: HttpRequest): Promise<unknown> {
    if (request.body === null) return undefined
    const type = request.headers.get('content-type')
    // A form of another site can send three types without asking; this is none of them.
    const isJson = type !== null && /^application\/(?:json|[\w.-]+\+json)\s*(?:;|$)/i.test(type)
    const isEmpty = request.headers.get('content-length') === '0'
    if (!isJson && !isEmpty) throw new HttpRefusal(415, SluiceError.of('INVALID_INPUT', 'The input is JSON: send it with content-type: application/json.'))
    return jsonOfText(await this.#text(request))
  }

  async #text(request: HttpRequest): Promise<string> {
    const announced = Number(request.headers.get('content-length') ?? 0)
    if (announced > this.#bytesMax) throw this.#tooLong()
    const reader = (request.body as ReadableStream<Uint8Array>).getReader()
    let refusal: HttpRefusal | undefined
    const stop = (why: HttpRefusal): void => {
      refusal ??= why
      void reader.cancel().catch(() => undefined)
    }
    const cancelTimer = nodeEnvironment.later(this.#msMax, () => {
      stop(new HttpRefusal(408, SluiceError.of('TIMEOUT', `The body did not arrive within ${this.#msMax} ms.`)))
    })
    const chunks: Uint8Array[] = []
    let bytes = 0
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((cause: unknown) => {
          throw SluiceError.of('CANCELLED', 'The client went away before its body had arrived.', { cause })
        })
        if (refusal !== undefined) throw refusal
        if (done) return utf8Of(Buffer.concat(chunks, bytes))
        bytes += value.length
        this.#bytesHeld += value.length
        if (bytes > this.#bytesMax) stop(this.#tooLong())
        else if (this.#bytesHeld > limits.httpBodiesBytesMax) stop(overloaded())
        else chunks.push(value)
        if (refusal !== undefined) throw refusal
      }
    } finally {
      cancelTimer()
      this.#bytesHeld -= bytes
    }
  }

  #tooLong(): HttpRefusal {
    return new HttpRefusal(413, SluiceError.of('INVALID_INPUT', `A body has at most ${this.#bytesMax} bytes.`))
  }
}

const overloaded = (): HttpRefusal =>
  new HttpRefusal(503, SluiceError.of('OVERLOADED', `Bodies of ${limits.httpBodiesBytesMax} bytes in all are being read: try again.`))

function utf8Of(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw SluiceError.of('INVALID_INPUT', 'The body is no UTF-8.', { cause })
  }
}

/** The value of a JSON text; undefined for an empty one. */
export function jsonOfText(text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw SluiceError.of('INVALID_INPUT', 'The input is no JSON.', { cause })
  }
}
