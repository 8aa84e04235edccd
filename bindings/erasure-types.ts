/** Erasures, as users see them. */
import type { Position } from './position.js'
import type { Progress } from './progress.js'
import type { SignalLike } from './signal.js'

/** Whose data it is: the value of a `.subject()` column. */
export type ErasureSubject = string | number | bigint

/** Steps, in this order: taking rows away, whose end is not known before; rewriting the log; making the checkpoints anew. */
export type EraseProgress = Progress

export interface EraseOptions {
  /** Gives up while rows are being taken away: `CANCELLED`. Once files are rewritten the erasure goes to its end. */
  readonly signal?: SignalLike | undefined
  /** Told now and then how far it is. What it throws stops nothing, and is what the promise is rejected with when all is done. */
  readonly onProgress?: ((progress: EraseProgress) => void) | undefined
}

/** What an erasure has done, as its commit says it. */
export interface ErasureRecord {
  /** Of the commit that says so. */
  readonly position: Position
  /** Milliseconds since the epoch. */
  readonly time: number
  /** SHA-256 over the id of the database and the subject: `db.erasures(subject)` finds it again, and nobody can tell the subject from it. */
  readonly subject: string
  /** By table: rows that were deleted or blanked, and changes of such rows that were taken out of the log. */
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly changes: number }>>
  /** Events that have lost their payload. */
  readonly events: number
  /** Recorded answers of calls with an id that were taken away. */
  readonly answers: number
  /** Frames that were rewritten in each segment of the log; checksums over the bodies of these, as they were first written and as they are. */
  readonly segments: readonly { readonly segment: number; readonly frames: number; readonly before: number; readonly after: number }[]
  /** Checkpoints that were made anew, with the checksums of their files (`before` undefined: there was none, or a crash came between). */
  readonly checkpoints: readonly { readonly name: string; readonly rows: number; readonly before: number | undefined; readonly after: number }[]
}
