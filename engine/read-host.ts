/**
 * Procedures with `readonly: true`, as main runs them: over its own view of the newest durable batch, which stands still meanwhile
 * (read-transaction.ts).
 *
 * The globals are the run's for its length, as they are a transaction's in a lane (R38). What it throws is the outcome; nothing is
 * recorded, so an `id` changes nothing: a read has no effect that could happen twice.
 */
import { compileRecordCodec, type RecordCodec } from './schema/record-codec.js'
import type { Engine } from './database.js'
import { type ReadKit, ReadTransaction } from './read-transaction.js'
import { Realm } from './txn/realm.js'

export interface ReadAnswer {
  readonly value: unknown
  /** What it has read. */
  readonly batch: number
}

export class ReadHost {
  readonly #engine: Engine
  readonly #kit: ReadKit
  readonly #isReadOnly: readonly boolean[]
  #realm: Realm | undefined
  #runs = 0

  constructor(engine: Engine) {
    this.#engine = engine
    const { program } = engine
    this.#isReadOnly = program.procedures.map(({ descriptor }) => descriptor.readonly === true)
    const inputs: RecordCodec[] = []
    const aborts: (ReadonlyMap<string, RecordCodec> | undefined)[] = []
    this.#kit = {
      program,
      procedureByHandle: new Map(program.procedures.map(({ handle }, ordinal) => [handle, ordinal])),
      inputOf: (procedure) => {
        const { descriptor, ...rules } = program.procedures[procedure]!
        return (inputs[procedure] ??= compileRecordCodec(descriptor, rules, `the input of "${descriptor.name}"`))
      },
      abortsOf: (service) => {
        const declared = program.services[service]!.aborts
        if (declared === undefined) return undefined
        return (aborts[service] ??= new Map([...declared].map(([reason, record]) => [reason, compileRecordCodec(record, record, `the details of "${reason}"`)])))
      },
    }
  }

  runs(procedure: number): boolean {
    return this.#isReadOnly[procedure]!
  }

  /** Runs it at once. Throws what it ends with, or why it cannot run. */
  run(procedure: number, input: unknown): ReadAnswer {
    const { parts } = this.#engine
    return this.#engine.readHere((view, now) => {
      const realm = (this.#realm ??= new Realm())
      this.#runs += 1
      const transaction = new ReadTransaction(this.#kit, { view, now, seed: parts.plan.seed, number: this.#runs })
      realm.enter()
      realm.active = transaction
      try {
        return { value: transaction.run(procedure, input), batch: view.batch }
      } finally {
        realm.active = undefined
        realm.leave()
      }
    })
  }
}
