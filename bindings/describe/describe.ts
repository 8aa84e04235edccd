/** From a program to its description. */
import type { ColumnDescriptor, ColumnRules, IndexDescriptor, Program, ReferenceProgram, TableDescriptor, TableProgram } from '../../engine/schema/descriptor.js'
import { type App, programOf } from '../app.js'
import type { AbortDescription, ColumnDescription, Description, EventDescription, IndexDescription, ProcedureDescription, ReferenceDescription, ReplicaDescription, TableDescription } from './description.js'

/**
 * An application as data, without opening a database: tables, events and procedures with their columns, rules, keys and indexes, and
 * what takes a call to the cross-partition lane.
 *
 * ```ts
 * describe(application).procedures.find(({ name }) => name === 'bank.transfer')?.lane   // 'cross-partition'
 * ```
 */
export function describe(application: App): Description {
  return descriptionOf(programOf(application))
}

const noRules: ColumnRules = { checks: [], json: [] }

export function descriptionOf(program: Program): Description {
  const { replicas = [] } = program
  return {
    // Aggregates and projections are services of their own, which nobody has declared.
    services: program.services.filter(({ opens }) => opens === undefined).map(({ name }) => name),
    // The tables of replicas stand behind all others (replica-program.ts), and are described as replicas.
    tables: program.tables.filter((_, ordinal) => !replicas.some(({ table }) => table === ordinal)).map((table) => describeTable(table, program)),
    replicas: replicas.map(({ descriptor, source, strength }): ReplicaDescription => ({
      name: descriptor.name,
      service: serviceOf(descriptor.name),
      source: program.tables[source]!.descriptor.name,
      columns: describeColumns(descriptor.columns, noRules),
      key: descriptor.key.map((ordinal) => descriptor.columns[ordinal]!.name),
      strength,
    })),
    events: program.events.map((event, ordinal): EventDescription => ({
      name: event.descriptor.name,
      service: serviceOf(event.descriptor.name),
      columns: describeColumns(event.descriptor.columns, event),
      atomicHandlers: program.atomicHandlers.filter(({ events }) => events.includes(ordinal)).map(({ name }) => name),
    })),
    // The steps of projections are nobody's to call.
    procedures: program.procedures.filter(({ descriptor }) => !descriptor.name.includes('$')).map((procedure): ProcedureDescription => {
      const { name, columns, placed, readonly = false, isolation = readonly ? 'snapshot' : 'serializable' } = procedure.descriptor
      return {
        name,
        ...ownerOf(name.split('.').slice(0, -1)),
        input: describeColumns(columns, procedure),
        lane: readonly ? 'snapshot' : placed ? 'partition' : 'cross-partition',
        readonly,
        isolation,
      }
    }),
    aborts: program.services.flatMap(({ name, aborts }) =>
      [...(aborts ?? [])].map(([reason, record]): AbortDescription => ({ ...ownerOf(name.split('.')), reason, columns: describeColumns(record.columns, record) })),
    ),
  }
}

const serviceOf = (name: string): string => name.slice(0, name.indexOf('.'))

/** A service of the program that is an aggregate is described as one of the service that has it. */
const ownerOf = ([service, aggregate]: readonly string[]): { readonly service: string; readonly aggregate?: string } => ({ service: service!, ...(aggregate !== undefined && { aggregate }) })

export function describeColumns(columns: readonly ColumnDescriptor[], rules: ColumnRules): readonly ColumnDescription[] {
  return columns.map((column, ordinal) => {
    const { name, type, nullable, values, generated = false, unique = false, min, max, positive = false, notBlank = false, maxLength, pattern } = column
    return {
      name,
      type,
      nullable,
      optional: nullable || generated || column.default !== undefined,
      ...(column.default !== undefined && { default: column.default }),
      generated,
      unique,
      values,
      min,
      max,
      positive,
      notBlank,
      maxLength,
      pattern,
      checks: rules.checks.filter((check) => check.column === ordinal).map((check) => check.name),
      hasSchema: rules.json.some((check) => check.column === ordinal),
    }
  })
}

function describeTable(table: TableProgram, program: Program): TableDescription {
  const { descriptor } = table
  const { name, partition, ordered } = descriptor
  const names = (ordinals: readonly number[]): readonly string[] => ordinals.map((ordinal) => descriptor.columns[ordinal]!.name)
  const indexes = descriptor.indexes.map((index): IndexDescription => ({
    name: index.name,
    on: names(index.on),
    range: index.range,
    unique: index.unique,
    crossPartition: leavesPartition(index, descriptor),
  }))
  return {
    name,
    service: serviceOf(name),
    columns: describeColumns(descriptor.columns, table),
    key: names(descriptor.key),
    partition: partition === 'global' ? 'global' : names(partition),
    ordered,
    indexes,
    references: (table.references ?? []).map((reference): ReferenceDescription => {
      const { name: to } = program.tables[reference.to]!.descriptor
      const { name, on, onDelete, strength } = reference
      return { name, on: names(on), to, onDelete, strength, crossPartition: mayLeavePartition(reference, descriptor, program) }
    }),
    checks: (table.rowChecks ?? []).map((check) => check.name),
    crossPartitionWrites: partition === 'global' || indexes.some((index) => index.unique && index.crossPartition) || writesLeavePartition(table, program),
  }
}

/** The partition columns are not all among the columns of the index (R20). Global tables are read by every lane. */
function leavesPartition({ on }: IndexDescriptor, { partition }: TableDescriptor): boolean {
  return partition !== 'global' && !partition.every((ordinal) => on.includes(ordinal))
}

/**
 * Both rows are in one partition where the columns that place the target are given by those that place this row, in the same order:
 * placement is a function of values (engine/schema/placement.ts).
 */
function mayLeavePartition({ on, to, strength }: ReferenceProgram, table: TableDescriptor, { tables }: Program): boolean {
  const target = tables[to]!.descriptor
  if (strength !== 'strong' || target.partition === 'global' || table.partition === 'global') return false
  const placing = target.partition.map((ordinal) => on[target.key.indexOf(ordinal)])
  return placing.length !== table.partition.length || placing.some((ordinal, place) => ordinal !== (table.partition as readonly number[])[place])
}

/**
 * What it refers to is somewhere else, or what refers to it: a delete looks for that, and deletes it or sets it to null. Rows of a global
 * table are looked at in every lane and written in the cross-partition lane.
 */
function writesLeavePartition({ descriptor, references = [] }: TableProgram, program: Program): boolean {
  if (references.some((reference) => mayLeavePartition(reference, descriptor, program))) return true
  return program.tables.some((child) =>
    (child.references ?? []).some((reference) => {
      if (program.tables[reference.to]!.descriptor !== descriptor || reference.strength !== 'strong') return false
      return child.descriptor.partition === 'global' ? reference.onDelete !== 'restrict' : mayLeavePartition(reference, child.descriptor, program)
    }),
  )
}
