/**
 * The counters of generated keys (R29): a table of the engine's own, one row for each table and partition that has drawn.
 *
 * A counter is a row like any other, so nobody needs to know of it: it is undone and rolled back with its transaction, runs ahead
 * read and write it, its changes are in the frame and in checkpoints, and replay lays it down. It lies in the partition that it is
 * for. It is logged where an application has generated columns; every store has the table, so that a log that has it can be
 * read by an application that generates nothing any more.
 */
import type { Program, TableDescriptor, TableProgram } from './descriptor.js'
import { parkedTable, parkedTableName } from './parked-table.js'

/** Names that begin like this are the engine's (R64): their rows are in the log, and in no stream. */
export const ownTablePrefix = '$'
export const sequenceTableName = '$sequences'

const descriptor: TableDescriptor = {
  name: sequenceTableName,
  columns: [
    { name: 'table', type: 'text', nullable: false },
    { name: 'partition', type: 'u32', nullable: false },
    /** What is drawn next, at the least. A double: behind the last whole number it says that there is none. */
    { name: 'next', type: 'f64', nullable: false },
  ],
  key: [0, 1],
  partition: [1],
  ordered: false,
  indexes: [],
}
export const sequenceTable: TableProgram = { descriptor, checks: [], json: [] }

export const hasGenerated = (table: TableDescriptor): boolean => table.columns.some((column) => column.generated === true)

/** The tables of a program as the log has them: with what consumers park, and with the counters, where something is generated. */
export function loggedTables(program: Program): readonly TableProgram[] {
  const tables = withParked(program.tables)
  return program.tables.some((table) => hasGenerated(table.descriptor)) ? withSequences(tables) : tables
}

/** Tables with what consumers park behind them. The counters come last: not every log has them. */
export function withParked(tables: readonly TableProgram[]): readonly TableProgram[] {
  return tables.some((table) => table.descriptor.name === parkedTableName) ? tables : [...tables, parkedTable]
}

/** Tables with the counters behind them. */
export function withSequences(tables: readonly TableProgram[]): readonly TableProgram[] {
  return tables.some((table) => table.descriptor.name === sequenceTableName) ? tables : [...tables, sequenceTable]
}
