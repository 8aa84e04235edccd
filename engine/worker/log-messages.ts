/** What main and the log thread say to each other; everything else goes through shared memory. */
import type { ErrorCode, SluiceError } from '../base/errors.js'
import type { Durability, LogTail, RecoveryOptions } from '../../wal/index.js'

/** In the place of the number of records of a recovered frame: the body is that of a schema. */
export const schemaEntry = -1

export interface LogThreadData {
  readonly control: SharedArrayBuffer
  readonly frames: SharedArrayBuffer
  readonly frameOverflow: SharedArrayBuffer
  readonly frameRingBytes: number
  readonly directory: string
  readonly tail: LogTail
  readonly databaseId: Uint8Array
  readonly schema: Uint8Array
  readonly durability: Durability
  readonly spinLoads: number
}
export type LogOrder =
  | { readonly kind: 'run'; readonly data: LogThreadData }
  | {
      readonly kind: 'recover'
      readonly control: SharedArrayBuffer
      readonly frames: SharedArrayBuffer
      readonly frameOverflow: SharedArrayBuffer
      readonly frameRingBytes: number
      readonly directory: string
      readonly options: RecoveryOptions
    }
export type RecoverOrder = Extract<LogOrder, { readonly kind: 'recover' }>

export type LogMessage =
  | { readonly kind: 'recovered'; readonly tail: LogTail }
  | { readonly kind: 'ready' }
  | { readonly kind: 'look' }
  | { readonly kind: 'failed'; readonly message: string; readonly code: ErrorCode; readonly details: SluiceError['details']; readonly system: string | undefined }
