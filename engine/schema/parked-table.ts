/**
 * What durable consumers have parked: a table of the engine's own, one row for each delivery that is not done and waits for somebody.
 *
 * A row like any other, written by a procedure (txn/consumer-work.ts): so it is recovered, checkpointed and copied without a word about it. All rows of a
 * consumer lie in one partition, in the order of the log. Every log has the table in its catalog, for consumers come at run time.
 *
 *   parked     its key stands still: this one was tried as often as it may, or came behind one that was
 *   released   the first of a key that was told to go on. Those behind it wait for it, so one word moves a key of any length
 *   dead       it will not be tried again; its key goes on
 *   done       it has come to its end before the mark of its consumer has passed it: it is known by this row when the log is read again. No user sees it
 */
import type { TableDescriptor, TableProgram } from './descriptor.js'

export const parkedTableName = '$parked'

const descriptor: TableDescriptor = {
  name: parkedTableName,
  columns: [
    { name: 'consumer', type: 'text', nullable: false },
    { name: 'batch', type: 'f64', nullable: false },
    { name: 'index', type: 'u32', nullable: false },
    { name: 'epoch', type: 'f64', nullable: false },
    { name: 'state', type: 'text', nullable: false },
    /** As it is compared, and as it was given: canonical bytes. */
    { name: 'key', type: 'text', nullable: false },
    { name: 'keyValue', type: 'bytes', nullable: false },
    { name: 'attempts', type: 'u32', nullable: false },
    /** Of the commit, and when it was parked: milliseconds. */
    { name: 'time', type: 'f64', nullable: false },
    { name: 'since', type: 'f64', nullable: false },
    /** Of what its handler threw; null where that was no error of ours, or it was not tried. */
    { name: 'code', type: 'text', nullable: true },
    { name: 'message', type: 'text', nullable: false },
    /** The commit, as canonical bytes; null where it is too long and must be read from the log. */
    { name: 'commit', type: 'bytes', nullable: true },
  ],
  key: [0, 1, 2],
  partition: [0],
  ordered: true,
  indexes: [],
}
export const parkedTable: TableProgram = { descriptor, checks: [], json: [] }

export type ParkedState = 'parked' | 'released' | 'dead' | 'done'

export interface ParkedRow {
  readonly consumer: string
  readonly batch: number
  readonly index: number
  readonly epoch: number
  readonly state: ParkedState
  readonly key: string
  readonly keyValue: Uint8Array
  readonly attempts: number
  readonly time: number
  readonly since: number
  readonly code: string | null
  readonly message: string
  readonly commit: Uint8Array | null
}
