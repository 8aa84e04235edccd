/** What a call answers beside its value. */
import type { Position } from './position.js'

/** `'fsync'`: on disk; `'os'`: written, not synced; `'memory'`: in memory. */
export type Durability = 'fsync' | 'os' | 'memory'

export interface Receipt<Value> {
  readonly value: Value
  readonly position: Position
  readonly durability: Durability
  /** The outcome was recorded by an earlier call with the same `id`. */
  readonly repeated: boolean
}
