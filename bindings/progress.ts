/** How far something is that takes long, as users are told. */
import { SluiceError } from '../engine/base/errors.js'
import { shown } from './schema/definition.js'

export interface Progress {
  /** What is being done, in words, and how much of it is done: 0 to 1. */
  readonly step: string
  readonly part: number
}

/** The same in the words of the engine: how much of how much. Nothing of nothing has just begun. */
export function partsOf(onProgress: ((progress: Progress) => void) | undefined): ((progress: { readonly step: string; readonly done: number; readonly inAll: number }) => void) | undefined {
  return onProgress && (({ step, done, inAll }) => onProgress({ step, part: inAll === 0 ? 0 : Math.min(1, done / inAll) }))
}

export function checkListener(what: string, onProgress: unknown): void {
  if (onProgress !== undefined && typeof onProgress !== 'function') throw SluiceError.of('INVALID_USE', `The option onProgress of ${what} is a function, not ${shown(onProgress)}.`)
}
