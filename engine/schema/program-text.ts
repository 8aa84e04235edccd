/**
 * A program as text: what main and workers compare to be sure that they loaded the same application.
 *
 * The text has one line per definition, so that two of them can be compared line by line and the difference be shown. It also
 * names what a descriptor cannot hold (checks, handlers and their order, abort reasons), because a worker that has loaded other
 * ones would decide differently. Functions themselves are not compared: the same file is compiled differently by vitest and tsx.
 */
import type { ColumnDescriptor, ColumnRules, Program } from './descriptor.js'

/** The same text for the same definitions, on every thread and in every process. */
export function programText(program: Program): string {
  const lines: string[] = []
  for (const service of program.services) {
    lines.push(`service ${service.name}`)
    for (const [name, table] of service.reads ?? []) lines.push(`reads ${service.name}.${name} of ${program.tables[table]?.descriptor.name}`)
    for (const [reason, columns] of service.aborts ?? []) {
      const name = `${service.name}.${reason}`
      lines.push(`abort ${name}`, ...columnLines(`details ${name}`, columns.columns, columns))
    }
  }
  for (const { descriptor, rowChecks = [], references = [], ...rules } of program.tables) {
    const { name, columns, key, partition, ordered, indexes } = descriptor
    lines.push(
      `table ${name} ${textOf({ key, partition, ordered })}`,
      ...columnLines(`column ${name}`, columns, rules),
    )
    for (const { name: index, ...rest } of indexes) lines.push(`index ${name}.${index} ${textOf(rest)}`)
    for (const { name: check } of rowChecks) lines.push(`check ${name}.${check}`)
    for (const { name: reference, to, ...rest } of references) {
      lines.push(`reference ${name}.${reference} to ${program.tables[to]?.descriptor.name} ${textOf(rest)}`)
    }
  }
  for (const { descriptor, ...rules } of program.events) {
    lines.push(`event ${descriptor.name}${descriptor.shape === undefined ? '' : ` of shape ${descriptor.shape}`}`, ...columnLines(`payload ${descriptor.name}`, descriptor.columns, rules))
  }
  for (const { descriptor, checks, json, partitions } of program.procedures) {
    const where = descriptor.readonly === true ? 'read-only' : partitions !== undefined ? 'in several partitions' : descriptor.placed ? 'placed' : 'cross-partition'
    lines.push(`procedure ${descriptor.name} ${where}`)
    lines.push(...columnLines(`input ${descriptor.name}`, descriptor.columns, { checks, json }))
  }
  for (const { descriptor, source, strength } of program.replicas ?? [])
    lines.push(`replica ${descriptor.name} of ${program.tables[source]?.descriptor.name} ${textOf({ strength, columns: descriptor.columns.map(({ name }) => name) })}`)
  const eventNames = (events: readonly number[]) => events.map((event) => program.events[event]?.descriptor.name).join(', ')
  for (const { name, events, joins, emits } of program.atomicHandlers) {
    const what = emits === undefined ? '' : ` emits ${eventNames(emits)}`
    lines.push(`handler ${name} on ${joins ? 'all of ' : ''}${eventNames(events)}${what}`)
  }
  for (const { name, event, partition } of program.handlers)
    lines.push(`handler ${name} after ${program.events[event]?.descriptor.name} ${partition === undefined ? 'cross-partition' : 'placed'}`)
  for (const { name, version, events, changes } of program.projections ?? []) lines.push(`projection ${name} ${version} of ${events.map((event, n) => event || changes[n]).join(', ')}`)
  if (program.version !== undefined && program.version !== 1) lines.push(`version ${program.version}`)
  return lines.join('\n')
}

function columnLines(
  prefix: string,
  columns: readonly ColumnDescriptor[],
  { checks, json }: ColumnRules,
): readonly string[] {
  return columns.map(({ name, ...rest }, ordinal) => {
    const names = checks.filter((check) => check.column === ordinal).map((check) => check.name)
    const schema = json.some((check) => check.column === ordinal)
    const all = { ...rest, ...(names.length > 0 && { checks: names }), ...(schema && { schema }) }
    return `${prefix}.${name} ${textOf(all)}`
  })
}

/** JSON with words for what JSON lacks; properties stay in the order in which our own code wrote them. */
function textOf(value: unknown): string {
  return JSON.stringify(value, function (this: Readonly<Record<string, unknown>>, name, plain: unknown) {
    const original = this[name] // a Date before its toJSON
    if (typeof original === 'bigint') return `${original}n`
    if (original instanceof Date) return `date ${original.getTime()}`
    if (original instanceof Uint8Array) return `bytes ${Buffer.from(original).toString('hex')}`
    if (typeof original === 'number' && !Number.isFinite(original)) return String(original)
    return plain
  })
}
