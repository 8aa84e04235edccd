/** `sluice salvage`: what can still be read of a damaged database, and what is lost. */
import { type Loss, Salvage, type SalvageReport, Source } from '../../engine/index.js'
import { formatPosition } from '../position.js'
import { type Given, UsageError } from './arguments.js'
import type { Command, Terminal } from './command.js'
import { commitJson, commitText } from './commit-lines.js'
import { timeText } from './moment.js'
import { jsonLine, jsonOf } from '../value-json.js'
import { bytesText, countText } from './value-text.js'
import { findingText } from './verify-command.js'

export const salvageCommand: Command = {
  name: 'salvage',
  summary: 'reads what can be read of a damaged database, and lists what is lost',
  places: ['dir'],
  options: {
    to: { type: 'string', value: 'newdir', what: 'write the best state as a new database' },
    rows: { type: 'string', value: 'table', what: 'print the rows of a table in the best state, as JSON lines' },
    detached: { type: 'boolean', what: 'print the commits of whole frames behind the damage, which no state holds' },
    json: { type: 'boolean', what: 'one JSON object, or one a line' },
  },
  more: [
    'The best state begins with a whole checkpoint or with the log, and ends at the last frame before the first damage.',
    'Exit code 0: the best state holds all that is known to have been there. 1: something is lost.',
  ],
  run: async (given, terminal) => {
    if (['to', 'rows', 'detached'].filter((option) => given.has(option)).length > 1) {
      throw new UsageError('--to, --rows and --detached each do a thing of their own: give one of them')
    }
    const source = await Source.open(given.places[0]!, 'alone')
    const salvage = await beginOrClose(source, terminal)
    try {
      terminal.progress.clear()
      return await doWhat(salvage, given, terminal)
    } finally {
      await salvage.close()
      await source.close()
    }
  },
}

async function beginOrClose(source: Source, terminal: Terminal): Promise<Salvage> {
  try {
    return Salvage.begin(source, (what, part) => terminal.progress.show(what, part))
  } catch (error) {
    await source.close()
    throw error
  }
}

async function doWhat(salvage: Salvage, given: Given, terminal: Terminal): Promise<number> {
  const { out } = terminal
  const { report } = salvage
  const table = given.value('rows')
  const to = given.value('to')
  if (table !== undefined) {
    for (const row of salvage.rows(table)) if (out.line(jsonLine(jsonOf(row) as object))) await out.flush()
    // The rows alone go to the output; what is lost is said beside them.
    if (!isAllThere(report)) terminal.note('Some batches are lost: sluice salvage without --rows lists them.')
    if (report.isHalfErased) terminal.note(halfErased)
  } else if (given.has('detached')) {
    for (const transaction of salvage.detached()) {
      const lines = given.has('json') ? [commitJson(transaction)] : commitText(transaction)
      for (const line of lines) if (out.line(line)) await out.flush()
    }
  } else {
    const copied = to === undefined ? undefined : await salvage.copyTo(to, (what, part) => terminal.progress.show(what, part))
    terminal.progress.clear()
    if (given.has('json')) out.line(jsonLine(shape(report, copied)))
    else print(report, terminal)
    if (copied !== undefined && !given.has('json')) out.line(`${copied.path} holds that state: ${bytesText(copied.bytes)}; open() accepts it`)
  }
  return isAllThere(report) ? 0 : 1
}

const isAllThere = ({ state, losses, findings }: SalvageReport): boolean =>
  losses.every((loss) => loss.isInState) && (state !== undefined || findings.length === 0)

const halfErased = 'An erasure was stopped in the middle of the files: rows of its subject may be among these. In a copy, call db.erase() once more.'

function shape({ isWhole, state, findings, losses, isHalfErased }: SalvageReport, copied: { readonly path: string } | undefined): object {
  return {
    isWhole,
    state: state === undefined ? null : { position: formatPosition(state.batch, state.index), time: timeText(state.time), batch: state.batch, from: state.from },
    findings,
    losses,
    isHalfErased,
    ...(copied !== undefined && { to: copied.path }),
  }
}

function print({ isWhole, state, findings, losses, isHalfErased }: SalvageReport, { out }: Terminal): void {
  if (isWhole) out.line('Nothing is damaged.')
  for (const finding of findings) out.line(`DAMAGED  ${findingText(finding)}`)
  if (state === undefined) out.line('best state: none, nothing can be read')
  else {
    const place = `${formatPosition(state.batch, state.index)}, ${timeText(state.time)}`
    out.line(`best state: batch ${state.batch} (${place}), from ${state.from} on`)
  }
  for (const loss of losses) out.line(lossText(loss))
  if (isHalfErased) out.line(halfErased)
}

function lossText({ after, upTo, kind, isInState, file, offset, frames }: Loss): string {
  const batches = `batches above ${after} up to ${upTo}`
  if (isInState) return `no history: ${batches}; what they did is in the state`
  if (kind === 'gone') return `lost: ${batches}`
  return `detached: ${batches}, ${countText(frames, 'whole frame')} in ${file ?? ''} from byte ${offset ?? 0}; sluice salvage --detached prints them`
}
