/**
 * What became of a request, as bytes: how outcomes travel from a lane to main and into the log.
 *
 *   kind 0          committed; the value is the canonical form of the result
 *   kind 1 + n      the error with place n in `errorCodes`; the value is the canonical form of `[message, reason, details, cause]`, and of `true` behind it
 *                   where no retry can succeed, though the code lets one hope
 *
 * Only codes cross threads, never classes: main builds the error anew.
 */
import { ByteReader, ByteWriter, isWellFormed } from '../base/bytes.js'
import { CanonicalError, decodeCanonical, encodeCanonical } from '../base/canonical.js'
import { type ErrorCode, errorCodes, isFinal, SluiceError } from '../base/errors.js'

export const committed = 0
export const outcomeKindMask = 0xff
/** The answer was recorded earlier, for the same request id. */
export const repeatedFlag = 0x100
/** In a frame: an erasure has taken something of the transaction away. */
export const erasedFlag = 0x200
/** In a frame: retention has taken changes or events of the transaction away (stream/log-compactor.ts). */
export const compactedFlag = 0x400

const messageLengthMax = 2_000
const stackLengthMax = 4_000
/** Three bytes a character at most, beside a message of fifty. */
const shortReasonMax = 20

export const outcomeOfCode = (code: ErrorCode): number => 1 + errorCodes.indexOf(code)

/** An error as a lane found it; whatever a procedure threw becomes `PROCEDURE_FAILED`. */
export function errorOf(thrown: unknown, procedure: string): SluiceError {
  if (SluiceError.is(thrown)) return thrown
  silence(thrown)
  const cause = describeThrown(thrown)
  return SluiceError.of('PROCEDURE_FAILED', `"${procedure}" threw ${cause.name}: ${cause.message}`.slice(0, messageLengthMax), {
    details: { procedure },
    cause: thrown,
  })
}

/** R32, for a promise that is thrown: what becomes of it later must not end the process. */
function silence(thrown: unknown): void {
  if (typeof thrown !== 'object' || thrown === null) return
  try {
    const { then } = thrown as { then?: unknown }
    if (typeof then === 'function') then.call(thrown, undefined, () => undefined)
  } catch {
    // It is no promise, then.
  }
}

/** Writes the value of an error's outcome. What is recorded (`withStack` false) holds no stack: it differs between threads. */
export function encodeError(error: SluiceError, writer: ByteWriter, withStack: boolean): void {
  const cause = error.cause === undefined || !withStack ? undefined : describeThrown(error.cause)
  const parts = (details: unknown): unknown[] => [error.message, error.reason, details, cause?.name, cause?.message, cause?.stack, ...(isFinal(error) ? [true] : [])]
  const start = writer.length
  try {
    encodeCanonical(parts(error.details), writer)
  } catch (problem) {
    if (!(problem instanceof CanonicalError)) throw problem
    writer.rewind(start)
    encodeCanonical(parts({}), writer)
  }
}

/** The same in as few bytes as an answer always has: for a memory that is full. */
export function encodeShortError(code: ErrorCode, reason: string | undefined, writer: ByteWriter): void {
  const message = code === 'OUT_OF_SPACE' ? 'The memory is full: delete rows, or open with more.' : 'The memory is too full to say more.'
  writer.reset()
  encodeCanonical([message, reason !== undefined && reason.length <= shortReasonMax ? reason : undefined, {}, undefined, undefined, undefined], writer)
}

export function decodeError(kind: number, reader: ByteReader): SluiceError {
  const code = errorCodes[(kind & outcomeKindMask) - 1] ?? 'PROCEDURE_FAILED'
  const [message, reason, details, name, causeMessage, stack, isFinal] = decodeCanonical(reader) as [string, string | undefined, Record<string, unknown>, string | undefined, string | undefined, string | undefined, true | undefined]
  let cause: Error | undefined
  if (name !== undefined) {
    cause = new Error(causeMessage)
    cause.name = name
    if (stack !== undefined) cause.stack = stack
  }
  return SluiceError.of(code, message, { reason, details, cause, isFinal })
}

/** R46: nobody had taken the request when its time was over. Main says after how long; a sequencer knows the moment only. */
export function lateError(timeoutMs?: number): SluiceError {
  const when = timeoutMs === undefined ? 'before its deadline' : `within ${timeoutMs} ms`
  const details = timeoutMs === undefined ? {} : { timeoutMs }
  return SluiceError.of('TIMEOUT', `No batch took the call ${when}; it has no effect. Try again, or send less at a time.`, { details })
}

/** Lone surrogates have no bytes. */
const wellFormed = (text: string): string => (isWellFormed(text) ? text : Buffer.from(text, 'utf8').toString('utf8'))

/** Procedures throw anything: primitives, frozen objects, errors whose getters throw. */
function describeThrown(thrown: unknown): { name: string; message: string; stack: string | undefined } {
  const text = (read: () => unknown): string | undefined => {
    try {
      const value = read()
      return typeof value === 'string' ? wellFormed(value) : undefined
    } catch {
      return undefined
    }
  }
  if ((typeof thrown === 'object' && thrown !== null) || typeof thrown === 'function') {
    const error = thrown as { name?: unknown; message?: unknown; stack?: unknown }
    return {
      name: (text(() => error.name) ?? 'an object').slice(0, 100),
      message: (text(() => error.message) ?? '').slice(0, messageLengthMax),
      stack: text(() => error.stack)?.slice(0, stackLengthMax),
    }
  }
  return { name: typeof thrown, message: (text(() => String(thrown)) ?? '').slice(0, messageLengthMax), stack: undefined }
}
