/**
 * Rows of replicas with `strength: 'eventual'`, brought up to their sources by a procedure of the engine's own: `$replicate`.
 *
 * The log says which keys have changed (replica-follower.ts); what is copied is the row as it stands when the copy runs. So a copy needs
 * no order and no memory: repeated or late, it takes a row to a state of its source that is no older than the one it had. Source
 * and replica are placed alike, so a copy runs in the lane of its partition. It writes the columns that differ, and nothing where none does.
 */
import { ByteReader, ByteWriter } from '../base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../base/canonical.js'
import { type ProcedureProgram, type Program, replicateName, type ServiceProgram } from '../schema/descriptor.js'
import { hasCopies } from '../schema/replica-tables.js'
import type { PlainRow } from '../store/row-codec.js'
import type { TableStore } from '../store/table-store.js'
import type { TableAccess } from './table-handle.js'
import type { ServiceScope, Transaction } from './transaction.js'

/** The input of `$replicate`: the place of a replica in the program, and keys of one partition, as canonical data. */
export interface CopyInput {
  readonly replica: number
  readonly keys: Uint8Array
}

/** It owns the procedure; no user can name it (R64). */
const replicaService: ServiceProgram = { name: '$replicas', tables: new Map(), events: new Map(), aborts: undefined }

/** A program and the procedure that copies, behind all others, where a replica has rows of its own. */
export function withReplicas(program: Program): Program {
  if (!hasCopies(program)) return program
  const replicate: ProcedureProgram = {
    descriptor: { name: replicateName, columns: [{ name: 'replica', type: 'u32', nullable: false }, { name: 'keys', type: 'bytes', nullable: false }], placed: true },
    checks: [],
    json: [],
    handle: Object.freeze({}),
    service: program.services.length,
    partition: undefined,
    run: (copy: ReplicaCopy, input: CopyInput) => copy.run(input),
  }
  return { ...program, services: [...program.services, replicaService], procedures: [...program.procedures, replicate] }
}

/** The scope of the service that copies, where `service` is it. */
export function replicaScope(transaction: Transaction, service: ServiceProgram, makeTable: (transaction: Transaction, table: TableStore) => TableAccess): ServiceScope | undefined {
  return service === replicaService ? { tx: new ReplicaCopy(transaction, makeTable), aborts: undefined } : undefined
}

interface Copied {
  readonly source: TableAccess
  readonly copy: TableAccess
  readonly names: readonly string[]
}

class ReplicaCopy {
  readonly #transaction: Transaction
  readonly #makeTable: (transaction: Transaction, table: TableStore) => TableAccess
  readonly #made = new Map<number, Copied>()

  constructor(transaction: Transaction, makeTable: (transaction: Transaction, table: TableStore) => TableAccess) {
    this.#transaction = transaction
    this.#makeTable = makeTable
  }

  run({ replica, keys }: CopyInput): void {
    const { source, copy, names } = this.#of(replica)
    for (const key of decodeCanonical(new ByteReader(keys)) as readonly unknown[]) {
      const from = source.row(key) as PlainRow | undefined
      const to = copy.row(key) as PlainRow | undefined
      if (from === undefined) {
        if (to !== undefined) copy.delete(key)
        continue
      }
      if (to === undefined) copy.insert(Object.fromEntries(names.map((name) => [name, from[name]])))
      else {
        const changed = names.filter((name) => !isSame(from[name], to[name]))
        if (changed.length > 0) copy.update(key, Object.fromEntries(changed.map((name) => [name, from[name]])))
      }
    }
  }

  #of(replica: number): Copied {
    let made = this.#made.get(replica)
    if (made === undefined) {
      const { source, table, descriptor } = this.#transaction.program.replicas![replica]!
      const handleOf = (ordinal: number): TableAccess => this.#makeTable(this.#transaction, this.#transaction.store.tables[ordinal]!)
      made = { source: handleOf(source), copy: handleOf(table!), names: descriptor.columns.map(({ name }) => name) }
      this.#made.set(replica, made)
    }
    return made
  }
}

const one = new ByteWriter(256)
const other = new ByteWriter(256)

/** Values of one column. What is no plain word is compared as the bytes that it is stored and logged as. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  one.reset()
  other.reset()
  encodeCanonical(a, one)
  encodeCanonical(b, other)
  return one.length === other.length && Buffer.compare(one.memory.subarray(0, one.length), other.memory.subarray(0, other.length)) === 0
}
