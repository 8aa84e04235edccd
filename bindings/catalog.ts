/** The catalog of a program, and how handles are found in it. */
import { SluiceError } from '../engine/base/errors.js'
import type { CatalogDescriptor, Program, ReplicaProgram } from '../engine/schema/descriptor.js'
import { shown } from './schema/definition.js'
import { replicaDefinitions } from './schema/replica.js'
import { eventSlices, slices } from './only.js'
import { tableDefinitions } from './schema/table.js'
import { eventDefinitions } from './service/event.js'
import { procedureDefinitions } from './service/procedure.js'
import { workflowDefinitions } from './service/workflow.js'

export function describeProgram(program: Program): CatalogDescriptor {
  return {
    tables: program.tables.map((table) => table.descriptor),
    events: program.events.map((event) => event.descriptor),
    procedures: program.procedures.map((procedure) => procedure.descriptor),
  }
}

interface Ordinals {
  readonly tables: ReadonlyMap<string, number>
  readonly events: ReadonlyMap<string, number>
  readonly procedures: ReadonlyMap<string, number>
}

const ordinalsByProgram = new WeakMap<Program, Ordinals>()

/** The ordinals of a program's tables, events and procedures by full name; made once. */
export function ordinalsOf(program: Program): Ordinals {
  let ordinals = ordinalsByProgram.get(program)
  if (ordinals === undefined) {
    const byName = (named: readonly { readonly descriptor: { readonly name: string } }[]) =>
      new Map(named.map(({ descriptor }, ordinal) => [descriptor.name, ordinal]))
    ordinals = {
      tables: byName(program.tables),
      events: byName(program.events),
      procedures: byName(program.procedures),
    }
    ordinalsByProgram.set(program, ordinals)
  }
  return ordinals
}

export function tableOrdinal(program: Program, handle: unknown): number {
  return ordinalOf(ordinalsOf(program).tables, tableDefinitions.of(handle), handle, 'table')
}

/** The replica that a handle stands for; undefined where it is no replica. */
export function replicaOf(program: Program, handle: unknown): ReplicaProgram | undefined {
  const definition = replicaDefinitions.of(handle)
  if (definition === undefined) return undefined
  const found = program.replicas?.find(({ descriptor }) => descriptor.name === definition.name)
  if (found === undefined) throw SluiceError.of('INVALID_USE', whyUnknown(definition, handle, 'replica'))
  return found
}

export function eventOrdinal(program: Program, handle: unknown): number {
  return ordinalOf(ordinalsOf(program).events, eventDefinitions.of(handle), handle, 'event')
}

export function procedureOrdinal(program: Program, handle: unknown): number {
  return ordinalOf(ordinalsOf(program).procedures, procedureDefinitions.of(handle), handle, 'procedure')
}

function ordinalOf(
  ordinals: ReadonlyMap<string, number>,
  definition: { readonly name: string; readonly service: string | undefined } | undefined,
  handle: unknown,
  noun: string,
): number {
  const ordinal = definition && ordinals.get(definition.name)
  if (ordinal !== undefined) return ordinal
  throw SluiceError.of('INVALID_USE', whyUnknown(definition, handle, noun))
}

function whyUnknown(
  definition: { readonly name: string; readonly service: string | undefined } | undefined,
  handle: unknown,
  noun: string,
): string {
  if (definition === undefined) {
    const other = otherNoun(handle)
    const passed = other === undefined ? shown(handle) : `A value of kind '${other}'`
    return `${passed} was passed where a definition of kind '${noun}' belongs: pass what that definition answered.`
  }
  if (definition.service === undefined)
    return `This ${noun} belongs to no service: put it into service(name, { ${noun}s: { ... } }).`
  return `The ${noun} '${definition.name}' is not in this application: add service '${definition.service}' to app().`
}

function otherNoun(handle: unknown): string | undefined {
  return [tableDefinitions, replicaDefinitions, eventDefinitions, procedureDefinitions, workflowDefinitions, slices, eventSlices].find((kind) =>
    kind.of(handle),
  )?.noun
}
