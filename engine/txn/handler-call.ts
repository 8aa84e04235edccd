/**
 * Handlers that run after the commit (`atomic: false`) as procedures of the engine: what a database runs for an event is a call like any
 * other, sequenced, with constraints, strays, recovery and the oracle (R61). No user can call them, for nobody holds their handles.
 *
 * The input is the place of the event, and its payload as bytes. The payload has been checked when the event was emitted, and is not
 * again: a check that changes a value, or one that has become stricter since, must not change what was announced.
 *
 * `$cursor` notes how far a handler, a replica or a bridge has come: its answer, recorded under the id of the cursor (schema/handler-ids.ts), is
 * the place, and where there is one the mark: what a bridge has to remember of the other side. Every database has it.
 */
import { ByteReader } from '../base/bytes.js'
import { type ColumnDescriptor, cursorName, type EventProgram, type HandlerProgram, type ProcedureProgram, type Program } from '../schema/descriptor.js'
import type { HandlerCursor } from '../schema/handler-ids.js'
import { compileRecordCodec, type RecordCodec } from '../schema/record-codec.js'
import { type ReferenceWatch, watchCodec, type WatchedChange, withWatchService } from './reference-watch.js'

/** The input of a handler's procedure. */
export interface HandlerInput {
  readonly batch: number
  readonly index: number
  readonly time: number
  /** By the codec below. */
  readonly payload: Uint8Array
}

const plain = ({ name, type, nullable, values, default: byDefault }: ColumnDescriptor): ColumnDescriptor => ({
  name,
  type,
  nullable,
  ...(values !== undefined && { values }),
  ...(byDefault !== undefined && { default: byDefault }),
})
const f64 = (name: string): ColumnDescriptor => ({ name, type: 'f64', nullable: false })
const u32 = (name: string): ColumnDescriptor => ({ name, type: 'u32', nullable: false })
const noRules = { checks: [], json: [] }

/** Writes and reads the payloads of an event, as they are. */
export function payloadCodec({ descriptor }: EventProgram): RecordCodec {
  return compileRecordCodec({ columns: descriptor.columns.map(plain) }, noRules, `the payload of "${descriptor.name}"`)
}

/** A program, the procedure that notes cursors, and those of its handlers, behind all others, so that they take none of their numbers. */
export function withHandlers(program: Program, engineService: number): Program {
  const cursor: ProcedureProgram = {
    descriptor: { name: cursorName, columns: [f64('batch'), u32('index'), { name: 'mark', type: 'text', nullable: true }], placed: true },
    ...noRules,
    handle: Object.freeze({}),
    service: engineService,
    partition: undefined,
    isKnownByName: true,
    run: (_tx, { batch, index, mark }: HandlerCursor & { readonly mark: string | null }) => (mark === null ? [batch, index] : [batch, index, mark]),
  }
  const { program: served, service } = withWatchService(program)
  const procedures = program.handlers.map((handler) => (handler.watches === undefined ? procedureOf(program, handler) : watchOf(handler, service)))
  return { ...served, procedures: [...program.procedures, cursor, ...procedures] }
}

const inputColumns: readonly ColumnDescriptor[] = [f64('batch'), u32('index'), f64('time'), { name: 'payload', type: 'bytes', nullable: false }]

/** In the cross-partition lane: where a reference leads to another partition, that is where it has to look. */
function watchOf(handler: HandlerProgram, service: number): ProcedureProgram {
  const codec = watchCodec(handler.name)
  const reader = new ByteReader(new Uint8Array(0))
  return {
    descriptor: { name: handler.name, columns: inputColumns, placed: false },
    ...noRules,
    handle: Object.freeze({}),
    service,
    partition: undefined,
    isKnownByName: true,
    run: (watch: ReferenceWatch, { payload }: HandlerInput) => {
      reader.reset(payload)
      watch.look(handler, codec.decode(reader) as unknown as WatchedChange)
    },
  }
}

function procedureOf(program: Program, { name, service, event, partition, run }: HandlerProgram): ProcedureProgram {
  const codec = payloadCodec(program.events[event]!)
  const reader = new ByteReader(new Uint8Array(0))
  return {
    descriptor: { name, columns: inputColumns, placed: partition !== undefined },
    ...noRules,
    handle: Object.freeze({}),
    service,
    partition: undefined,
    isKnownByName: true,
    run: (tx, { batch, index, time, payload }: HandlerInput) => {
      reader.reset(payload)
      return mustBeNothing(run(tx, { batch, index, time, payload: codec.decode(reader) }))
    },
  }
}

/** A promise is refused as in every procedure; whatever else a handler answers is for nobody. */
function mustBeNothing(result: unknown): unknown {
  return typeof result === 'object' && result !== null && 'then' in result ? result : undefined
}
