/** `sluice info`: what a directory holds, without reading all of it. */
import { describeDatabase, type DatabaseDescription, Source } from '../../engine/index.js'
import { formatPosition, indexMax } from '../position.js'
import type { Command, Terminal } from './command.js'
import { timeText } from './moment.js'
import { jsonLine } from '../value-json.js'
import { bytesText, countText, plain } from './value-text.js'

export const infoCommand: Command = {
  name: 'info',
  summary: 'shows what a directory holds: tables, sizes, positions, checkpoints',
  places: ['dir'],
  options: { json: { type: 'boolean', what: 'one JSON object' } },
  more: ['Checkpoints are listed as their manifests say; sluice verify proves them.'],
  run: async (given, terminal) => {
    const source = await Source.open(given.places[0]!, 'alone')
    try {
      const description = describeDatabase(source)
      if (given.has('json')) terminal.out.line(jsonLine(shape(description)))
      else print(description, terminal)
      if (description.log.damage === undefined) return 0
      const { segment, offset, why } = description.log.damage
      terminal.note(`The log is damaged in segment ${segment} at byte ${offset}: ${why}. sluice verify and sluice salvage say more.`)
      return 1
    } finally {
      await source.close()
    }
  },
}

type Record = NonNullable<DatabaseDescription['log']['first']>
const positionOf = (record: Record | undefined): string | null => (record === undefined ? null : formatPosition(record.batch, record.index))

function shape({ path, format, databaseId, partitions, tables, events, procedures, log, checkpoints }: DatabaseDescription): object {
  const { segments, bytes, first, last, compactedUpTo, tornBytes, damage } = log
  return {
    path, format, databaseId, partitions,
    log: {
      segments, bytes,
      oldest: positionOf(first),
      newest: positionOf(last),
      newestTime: last === undefined ? null : timeText(last.time),
      compactedUpTo: compactedUpTo === 0 ? null : formatPosition(compactedUpTo, indexMax),
      tornBytes,
      damage: damage ?? null,
    },
    checkpoints, tables, events, procedures,
  }
}

function print({ path, format, databaseId, partitions, tables, events, procedures, log, checkpoints }: DatabaseDescription, { out }: Terminal): void {
  out.line(`${plain(path)}`)
  out.line(`format ${format}, database ${databaseId}, ${countText(partitions, 'partition')}`)
  out.line(`log: ${countText(log.segments, 'segment')}, ${bytesText(log.bytes)}`)
  if (log.first !== undefined && log.last !== undefined) {
    out.line(`  oldest commit  ${positionOf(log.first)}  ${timeText(log.first.time)}`)
    out.line(`  newest commit  ${positionOf(log.last)}  ${timeText(log.last.time)}`)
  } else out.line('  no commits')
  if (log.compactedUpTo > 0) out.line(`  compacted up to ${formatPosition(log.compactedUpTo, indexMax)}`)
  for (const { file, state, batch, rows, bytes } of checkpoints) {
    out.line(`checkpoint ${file}: ${state === 'unfinished' ? 'not finished' : `batch ${batch}, ${countText(rows, 'row or outcome', 'rows and outcomes')}, ${bytesText(bytes)}`}`)
  }
  for (const { name, key, partition, ordered, columns, indexes } of tables) {
    const placed = partition === undefined ? '' : partition === 'global' ? ', global' : `, partition [${partition.join(', ')}]`
    out.line(`table ${plain(name)}: key [${key.join(', ')}]${placed}${ordered === true ? ', ordered' : ''}`)
    const shown = columns.map((column) => `${plain(column.name)} ${column.type}${column.nullable ? '?' : ''}`)
    out.line(`  ${shown.join(', ')}`)
    for (const index of indexes ?? []) out.line(`  index ${plain(index.name)} [${index.on.join(', ')}]${index.range ? ', range' : ''}${index.unique ? ', unique' : ''}`)
  }
  if (events.length > 0) out.line(`events: ${events.map(({ name }) => plain(name)).join(', ')}`)
  if (procedures.length > 0) out.line(`procedures: ${procedures.map(plain).join(', ')}`)
}
