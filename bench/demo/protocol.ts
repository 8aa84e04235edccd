/**
 * How the demo's parent and the process that owns the database talk.
 *
 * Commands and replies are messages on the IPC channel. Acknowledgements are many and small, so they have a
 * pipe of their own: records of 12 bytes, little endian. A killed owner may leave part of a record behind; it
 * is dropped.
 *
 *    0        4      5      6         7        8              12
 *    +--------+------+------+---------+--------+--------------+
 *    | plan   | step | type | outcome | unused | microseconds |
 *    +--------+------+------+---------+--------+--------------+
 *
 * Type 255 is not a transaction: a subscriber has seen the invoice of that plan.
 */
import type { Readable, Writable } from 'node:stream'
import { outcomes, transactionTypes, type Acknowledgement } from '../workloads/marketplace/driver.js'
import type { WorkloadOptions } from '../workloads/marketplace/generator.js'
import type { PackedLedger } from '../workloads/marketplace/ledger.js'
import type { Finding } from '../workloads/marketplace/verdict.js'

export interface OwnerOptions {
  readonly path: string
  readonly workers: number
  readonly outstanding: number
  readonly plansMax: number
  readonly memoryBytes: number
  readonly workload: WorkloadOptions
}

export type Command =
  | { readonly do: 'populate' }
  /** Runs until `stop`; `ledger`: what was acknowledged by the process before. */
  | { readonly do: 'load'; readonly ledger?: PackedLedger | undefined }
  | { readonly do: 'stop' }
  /** `replay`: also criterion 11, which takes as long as the run did on one thread. */
  | { readonly do: 'verify'; readonly ledger: PackedLedger; readonly replay: boolean }
  | { readonly do: 'close' }

export interface Verification {
  readonly findings: readonly Finding[]
  readonly commits: number
  readonly rows: number
  readonly inDoubt: number
  readonly replayed: number
  readonly replayMs: number
  readonly verifyMs: number
}

export type Reply =
  | { readonly did: 'open'; readonly openMs: number }
  | { readonly did: 'populate'; readonly requests: number; readonly populateMs: number }
  /**
   * The load has ended; `records`: how many were written to the pipe, so that the parent can wait for the
   * last.
   */
  | { readonly did: 'load'; readonly records: number; readonly plans: number }
  | { readonly did: 'verify'; readonly verification: Verification }
  | { readonly did: 'close' }
  /** What a look at a snapshot under load has found. */
  | { readonly did: 'look'; readonly findings: readonly Finding[] }
  /** A word about what is going on, for the line at the bottom. */
  | { readonly did: 'progress'; readonly text: string }
  | { readonly did: 'fail'; readonly message: string }

const recordBytes = 12
const seenType = 255
const bufferRecords = 4_096
const flushMs = 4
const unreadBytesMax = 32 * 1_024 * 1_024

export class RecordWriter {
  readonly #output: Writable
  #buffer = Buffer.allocUnsafe(bufferRecords * recordBytes)
  #filled = 0
  #written = 0
  #timer: NodeJS.Timeout | undefined

  constructor(output: Writable) {
    this.#output = output
  }

  get records(): number {
    return this.#written
  }

  acknowledge(acknowledgement: Acknowledgement): void {
    const { plan, step, microseconds } = acknowledgement
    const type = transactionTypes.indexOf(acknowledgement.type)
    this.#write(plan, step, type, outcomes.indexOf(acknowledgement.outcome), microseconds)
  }

  see(plan: number): void {
    this.#write(plan, 0, seenType, 0, 0)
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#filled === 0) return
    if (this.#output.writableLength > unreadBytesMax)
      throw new Error('The parent does not read the acknowledgements.')
    this.#output.write(this.#buffer.subarray(0, this.#filled))
    this.#buffer = Buffer.allocUnsafe(bufferRecords * recordBytes)
    this.#filled = 0
  }

  #write(plan: number, step: number, type: number, outcome: number, microseconds: number): void {
    const at = this.#filled
    this.#buffer.writeUInt32LE(plan, at)
    this.#buffer[at + 4] = step
    this.#buffer[at + 5] = type
    this.#buffer[at + 6] = outcome
    this.#buffer[at + 7] = 0
    this.#buffer.writeUInt32LE(Math.min(0xffff_ffff, Math.max(1, Math.round(microseconds))), at + 8)
    this.#filled = at + recordBytes
    this.#written += 1
    if (this.#filled === this.#buffer.length) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), flushMs)
  }
}

export interface RecordListener {
  acknowledged(acknowledgement: Acknowledgement): void
  seen(plan: number): void
}

export class RecordReader {
  #rest: Buffer = Buffer.alloc(0)
  #records = 0

  constructor(input: Readable, listener: RecordListener) {
    input.on('data', (chunk: Buffer) => this.#read(chunk, listener))
  }

  get records(): number {
    return this.#records
  }

  #read(chunk: Buffer, listener: RecordListener): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const whole = bytes.length - (bytes.length % recordBytes)
    for (let at = 0; at < whole; at += recordBytes) {
      this.#records += 1
      const plan = bytes.readUInt32LE(at)
      const type = bytes[at + 5]!
      if (type === seenType) {
        listener.seen(plan)
        continue
      }
      listener.acknowledged({
        plan,
        step: bytes[at + 4]!,
        type: transactionTypes[type]!,
        outcome: outcomes[bytes[at + 6]!]!,
        microseconds: bytes.readUInt32LE(at + 8),
      })
    }
    this.#rest = bytes.subarray(whole)
  }
}
