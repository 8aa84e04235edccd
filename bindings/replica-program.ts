/** From declared replicas to those of the engine: the source is found, and of it the columns and indexes that are shown. */
import type { ColumnDescriptor, IndexDescriptor, ReplicaProgram, TableDescriptor, TableProgram } from '../engine/schema/descriptor.js'
import { invalidDefinition, shown } from './schema/definition.js'
import type { ReplicaDefinition } from './schema/replica.js'
import { type TableDefinition, tableDefinitions } from './schema/table.js'
import type { ServiceDefinition } from './service/service-definition.js'

/** Adds the tables of replicas that have rows of their own behind all others, and answers all replicas by their full names. */
export function replicaPrograms(services: readonly ServiceDefinition[], tables: Map<string, TableProgram>): ReadonlyMap<string, ReplicaProgram> {
  const ordinals = new Map([...tables.keys()].map((name, ordinal) => [name, ordinal]))
  const replicas = new Map<string, ReplicaProgram>()
  for (const service of services) {
    for (const replica of service.replicas.values()) {
      const source = sourceOf(replica, service, ordinals)
      const descriptor = shownPart(replica, source)
      const one = { descriptor, source: ordinals.get(source.name)!, strength: replica.strength }
      if (replica.strength !== 'eventual') replicas.set(replica.name, one)
      else {
        replicas.set(replica.name, { ...one, table: tables.size })
        tables.set(replica.name, { descriptor, checks: [], json: [] })
      }
    }
  }
  return replicas
}

function sourceOf(replica: ReplicaDefinition, service: ServiceDefinition, tables: ReadonlyMap<string, number>): TableDefinition {
  const what = `Replica '${replica.name}'`
  let answer: unknown
  try {
    answer = replica.source()
  } catch (cause) {
    throw invalidDefinition(`The arrow of replica '${replica.name}' threw: see cause.`, undefined, cause)
  }
  const source = tableDefinitions.of(answer)
  if (source === undefined) throw invalidDefinition(`The arrow of replica '${replica.name}' must answer a table, () => shop.tables.order, not ${shown(answer)}.`)
  if (!tables.has(source.name)) {
    throw invalidDefinition(`${what} is of ${source.name === '' ? 'a table of no service' : `'${source.name}'`}, which is not in this application: put its service into app().`)
  }
  if (source.service === service.name) throw invalidDefinition(`${what} is of a table of its own service: leave it out, tx.db has the table.`)
  return source
}

/** The table that the replica is to its readers: columns in the order of the source, without their rules, and indexes that need no other. */
function shownPart({ name, columns, strength }: ReplicaDefinition, { name: of, descriptor }: TableDefinition): TableDescriptor {
  const isKey = (column: string): boolean => descriptor.key.some((ordinal) => descriptor.columns[ordinal]!.name === column)
  for (const column of columns) {
    if (isKey(column)) throw invalidDefinition(`Replica '${name}' names '${column}', which is in the key of '${of}': leave it out, the key is there anyhow.`)
    if (!descriptor.columns.some((one) => one.name === column)) {
      throw invalidDefinition(`Replica '${name}' names '${column}', which is no column of '${of}'; there are ${descriptor.columns.map((one) => one.name).filter((one) => !isKey(one)).join(', ')}.`)
    }
  }
  const kept = descriptor.columns.flatMap(({ name: column }, ordinal) => (isKey(column) || columns.includes(column) ? [ordinal] : []))
  const places = (ordinals: readonly number[]): readonly number[] => ordinals.map((ordinal) => kept.indexOf(ordinal))
  const isShown = ({ on, where = [], unique }: IndexDescriptor): boolean =>
    !(unique && strength === 'eventual') && [...on, ...where.map(({ column }) => column)].every((ordinal) => kept.includes(ordinal))
  return {
    name,
    columns: kept.map((ordinal) => plain(descriptor.columns[ordinal]!)),
    key: places(descriptor.key),
    partition: descriptor.partition === 'global' ? 'global' : places(descriptor.partition),
    ordered: descriptor.ordered,
    indexes: descriptor.indexes.filter(isShown).map((index) => ({
      ...index,
      on: places(index.on),
      ...(index.where && { where: index.where.map(({ column, value }) => ({ column: kept.indexOf(column), value })) }),
    })),
  }
}

/** What rules a value has met, it has met when its source was written. */
const plain = ({ name, type, nullable, values }: ColumnDescriptor): ColumnDescriptor => ({ name, type, nullable, ...(values && { values }) })
