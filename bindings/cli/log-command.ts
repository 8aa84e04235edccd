/** `sluice log`: the log as text for people, or as JSON lines for programs. */
import { didYouMean, listCommits, type ListedPart, type ListEnd, listParts, Source } from '../../engine/index.js'
import { countOption, type Given, UsageError } from './arguments.js'
import type { Command, Terminal } from './command.js'
import { commitJson, commitText } from './commit-lines.js'
import { momentOption } from './moment.js'
import { jsonLine } from '../value-json.js'
import { bytesText } from './value-text.js'

export const logCommand: Command = {
  name: 'log',
  summary: 'prints what is in the log: commits with their changes and events, or frames',
  places: ['dir'],
  options: {
    from: { type: 'string', value: 'position|time', what: 'begin with the first commit at or after this' },
    to: { type: 'string', value: 'position|time', what: 'end with the last commit at or before this' },
    table: { type: 'string', multiple: true, value: 'name', what: 'only changes of this table' },
    event: { type: 'string', multiple: true, value: 'name', what: 'only events of this type' },
    procedure: { type: 'string', value: 'name', what: 'only calls of this procedure' },
    id: { type: 'string', value: 'id', what: 'only the call with this id' },
    limit: { type: 'string', value: 'n', what: 'end after so many' },
    frames: { type: 'boolean', what: 'list the parts of the log as they lie in its files, and no commits' },
    json: { type: 'boolean', what: 'one JSON object a line' },
  },
  more: [
    'Names are full names, such as bank.account. With --table or --event, commits without such a change or event are left out.',
    'Marks: + a row was inserted, ~ changed, - deleted, ! an event. Times without a zone are UTC.',
  ],
  run: async (given, terminal) => {
    const source = await Source.open(given.places[0]!, 'beside')
    try {
      if (source.isInUse) terminal.note('The database is open elsewhere: this is a moment of it.')
      return given.has('frames') ? await printFrames(source, given, terminal) : await printCommits(source, given, terminal)
    } finally {
      await source.close()
    }
  },
}

async function printCommits(source: Source, given: Given, terminal: Terminal): Promise<number> {
  const tables = given.values('table')
  const events = given.values('event')
  const procedure = given.value('procedure')
  const commits = listCommits(source, {
    from: momentOption('from', given.value('from')),
    to: momentOption('to', given.value('to')),
    tables,
    events,
    procedure,
    id: given.value('id'),
    limit: countOption(given, 'limit') ?? Infinity,
  })
  const isJson = given.has('json')
  let step = commits.next()
  for (; step.done !== true; step = commits.next()) {
    const lines = isJson ? [commitJson(step.value)] : commitText(step.value)
    for (const line of lines) if (terminal.out.line(line)) await terminal.out.flush()
  }
  const { end, names } = step.value
  // Names are known only when the log has been read: a table may be gone from its newest catalog.
  if (end !== undefined) {
    mustBeKnown('table', tables, names.tables)
    mustBeKnown('event', events, names.events)
    mustBeKnown('procedure', procedure === undefined ? [] : [procedure], names.procedures)
  }
  return tellEnd(end, source, terminal)
}

function mustBeKnown(noun: string, wanted: readonly string[], known: ReadonlySet<string>): void {
  for (const name of wanted) {
    if (known.has(name)) continue
    throw new UsageError(`the log has no ${noun} "${name}"${didYouMean(name, [...known])}`)
  }
}

/** What the log ended with: nothing to say, or damage. */
function tellEnd(end: ListEnd['end'], source: Source, terminal: Terminal): number {
  if (end?.damage === undefined || source.isInUse) return 0
  const { segment, offset, batch, damage } = end
  terminal.note(
    `The log is damaged in segment ${segment} at byte ${offset}: ${damage.why}. Batches up to ${batch} are shown, durable were ` +
      `those up to ${damage.durableUpTo}. sluice verify and sluice salvage say more.`,
  )
  return 1
}

async function printFrames(source: Source, given: Given, terminal: Terminal): Promise<number> {
  for (const option of ['table', 'event', 'procedure', 'id']) {
    if (given.has(option)) throw new UsageError(`--${option} chooses commits, and --frames lists none`)
  }
  const parts = listParts(source, {
    from: momentOption('from', given.value('from')),
    to: momentOption('to', given.value('to')),
    limit: countOption(given, 'limit') ?? Infinity,
  })
  let step = parts.next()
  for (; step.done !== true; step = parts.next()) {
    const line = given.has('json') ? jsonLine(step.value) : partText(step.value)
    if (terminal.out.line(line)) await terminal.out.flush()
  }
  return tellEnd(step.value, source, terminal)
}

function partText(part: ListedPart): string {
  const place = `${part.segment}:${String(part.offset).padStart(8, '0')}`
  const body = part.bytes === 0 ? '' : `  ${bytesText(part.bytes)}`
  const batch = part.kind === 'frame' ? `batch ${part.batch} after ${part.previous}` : `after batch ${part.batch}`
  const life = `durable ${part.durableUpTo}  life ${part.incarnation}`
  if (part.frame === undefined) return `${place}  ${part.kind.padEnd(11)}  ${batch}${body}  ${life}`
  const { time, transactions, changes, events, lanes } = part.frame
  const counts = `${transactions} transactions, ${changes} changes, ${events} events in ${lanes} lanes`
  return `${place}  ${part.kind.padEnd(11)}  ${batch}${body}  ${counts}  ${time}  ${life}`
}
