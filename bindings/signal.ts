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
