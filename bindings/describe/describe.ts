/** From a program to its description. What stands in definitions only, references, is read from the handles of its application. */
import { SluiceError } from '../../engine/base/errors.js'
import type { ColumnDescriptor, ColumnRules, IndexDescriptor, Program, TableDescriptor, TableProgram } from '../../engine/schema/descriptor.js'
import { type App, applicationOf, programOf } from '../app.js'
import { tableDefinitions, type ReferenceDefinition } from '../schema/table.js'
import type { AbortDescription, ColumnDescription, Description, EventDescription, IndexDescription, ProcedureDescription, ReferenceDescription, TableDescription } from './description.js'

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

export function descriptionOf(program: Program): Description {
  return {
    services: program.services.map(({ name }) => name),
    tables: program.tables.map((table) => describeTable(table, program)),
    events: program.events.map((event, ordinal): EventDescription => ({
      name: event.descriptor.name,
      service: serviceOf(event.descriptor.name),
      columns: describeColumns(event.descriptor.columns, event),
      atomicHandlers: program.atomicHandlers.filter((handler) => handler.event === ordinal).map(({ name }) => name),
    })),
    procedures: program.procedures.map((procedure): ProcedureDescription => {
      const { name, columns, placed, readonly = false } = procedure.descriptor
      return {
        name,
        service: serviceOf(name),
        input: describeColumns(columns, procedure),
        lane: readonly ? 'snapshot' : placed ? 'partition' : 'cross-partition',
        readonly,
      }
    }),
    aborts: program.services.flatMap(({ name, aborts }) =>
      [...(aborts ?? [])].map(([reason, record]): AbortDescription => ({ service: name, reason, columns: describeColumns(record.columns, record) })),
    ),
  }
}

const serviceOf = (name: string): string => name.slice(0, name.indexOf('.'))

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
    references: referencesOf(name, program).map((reference): ReferenceDescription => {
      const to = tableDefinitions.of(reference.to())?.name ?? ''
      const target = program.tables.find((one) => one.descriptor.name === to)
      if (target === undefined) throw SluiceError.of('INVALID_USE', `Reference '${reference.name}' of '${name}' leads out of its application.`)
      return { name: reference.name, on: names(reference.on), to, onDelete: reference.onDelete, crossPartition: mayLeavePartition(reference, descriptor, target.descriptor) }
    }),
    checks: (table.rowChecks ?? []).map((check) => check.name),
    crossPartitionWrites: partition === 'global' || indexes.some((index) => index.unique && index.crossPartition),
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
function mayLeavePartition({ on }: ReferenceDefinition, table: TableDescriptor, target: TableDescriptor): boolean {
  if (target.partition === 'global' || table.partition === 'global') return false
  const placing = target.partition.map((ordinal) => on[target.key.indexOf(ordinal)])
  return placing.length !== table.partition.length || placing.some((ordinal, place) => ordinal !== (table.partition as readonly number[])[place])
}

function referencesOf(name: string, program: Program): readonly ReferenceDefinition[] {
  for (const service of applicationOf(program).services) {
    for (const handle of Object.values(service.tables as Readonly<Record<string, unknown>>)) {
      const definition = tableDefinitions.of(handle)
      if (definition?.name === name) return definition.references
    }
  }
  return []
}
