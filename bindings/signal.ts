import { SluiceError } from '../engine/base/errors.js'
import type { GlobalClass } from './schema/shape.js'

/** What the database takes as a signal: anything that behaves as an `AbortSignal`. */
export interface SignalLike {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** What the database hands out as a signal: the real `AbortSignal`, where its type is known. */
export type Signal = GlobalClass<'AbortSignal', SignalLike>

/** Milliseconds as a number, or a number with its unit: `'250ms'`, `'30s'`, `'1h'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

export function isSignal(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'aborted' in value && typeof (value as { addEventListener?: unknown }).addEventListener === 'function'
}

/** `what` was asked for with this signal. */
export function mustNotBeAborted(what: string, signal: Pick<SignalLike, 'aborted' | 'reason'> | undefined): void {
  if (signal?.aborted === true) throw SluiceError.of('CANCELLED', `${what} was given up by its signal.`, { cause: signal.reason })
}
