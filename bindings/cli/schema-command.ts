/** `sluice schema`: what explains the log, as JSON or for `flatc`. */
import { findSchema, flatbuffersOf, Source } from '../../engine/index.js'
import { UsageError } from './arguments.js'
import type { Command } from './command.js'
import { momentOption } from './moment.js'
import { jsonLine } from '../value-json.js'

export const schemaCommand: Command = {
  name: 'schema',
  summary: 'prints the schema of the log: tables, events, procedures; or a FlatBuffers schema of frames and rows',
  places: ['dir'],
  options: {
    fbs: { type: 'boolean', what: 'for flatc: a reader of the log in any of its languages is made from it' },
    at: { type: 'string', value: 'position|time', what: 'the one of the first commit at or after this (default: the newest)' },
    json: { type: 'boolean', what: 'on one line' },
  },
  more: ['The page docs/interop.md has a reader in C++, docs/log-format.md the rules for others.'],
  run: async (given, terminal) => {
    if (given.has('fbs') && given.has('json')) throw new UsageError('--fbs is no JSON: give --fbs or --json')
    const at = momentOption('at', given.value('at'))
    const source = await Source.open(given.places[0]!, 'beside')
    try {
      if (source.isInUse) terminal.note('The database is open elsewhere: this is a moment of it.')
      const found = findSchema(source, at)
      if (given.has('fbs')) for (const line of flatbuffersOf(found).trimEnd().split('\n')) terminal.out.line(line)
      else terminal.out.line(given.has('json') ? jsonLine(found.catalog) : JSON.stringify(found.catalog, undefined, 2))
      const { damage, segment, offset } = found.end
      if (damage === undefined || source.isInUse) return 0
      terminal.note(`The log is damaged in segment ${segment} at byte ${offset}: ${damage.why}. This is the schema of what is in front of it.`)
      return 1
    } finally {
      await source.close()
    }
  },
}
