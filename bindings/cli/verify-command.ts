/** `sluice verify`: proves a database from its files. Exit code 0: whole; 1: damaged. */
import { type Finding, Source, verifyDatabase, type VerifyReport } from '../../engine/index.js'
import type { Command, Terminal } from './command.js'
import { jsonLine, jsonOf } from '../value-json.js'
import { bytesText, countText, plain, textOf } from './value-text.js'

export const verifyCommand: Command = {
  name: 'verify',
  summary: 'proves checksums, chain, checkpoints against the log, and indexes against rows',
  places: ['dir'],
  options: { json: { type: 'boolean', what: 'one JSON object' } },
  more: [
    'Exit code 0: whole. 1: damaged; each line says what and where. An end of the log that nobody was ever told about is no damage.',
    'It loads the whole database into memory, as open() does.',
  ],
  run: async (given, terminal) => {
    const source = await Source.open(given.places[0]!, 'beside')
    try {
      if (source.isInUse) terminal.note('The database is open elsewhere: this proves a moment of it.')
      const report = await verifyDatabase(source, (what, part) => terminal.progress.show(what, part))
      terminal.progress.clear()
      if (given.has('json')) terminal.out.line(jsonLine(shape(source, report)))
      else print(report, terminal)
      return report.isWhole ? 0 : 1
    } finally {
      await source.close()
    }
  },
}

function shape({ path, isInUse }: Source, { isWhole, findings, log, checkpoints, rows }: VerifyReport): object {
  return {
    path,
    isInUse,
    isWhole,
    findings: findings.map(({ key, ...rest }) => ({ ...rest, ...(key !== undefined && { key: jsonOf(key) }) })),
    log,
    checkpoints: checkpoints.map(({ comparedWith, ...rest }) => ({ ...rest, comparedWith: comparedWith ?? null })),
    rows: rows ?? null,
  }
}

const shownBatches = 10

function print({ isWhole, findings, log, checkpoints, rows }: VerifyReport, { out }: Terminal): void {
  const begins = log.after === 0 ? 'from the beginning' : `after batch ${log.after}`
  out.line(`log         ${countText(log.segments, 'segment')}, ${bytesText(log.bytes)}, ${begins} to batch ${log.lastBatch}`)
  out.line(`            ${countText(log.frames, 'frame')}, ${countText(log.commits, 'commit')}, ${countText(log.changes, 'change')}`)
  if (log.erasedFrames > 0) {
    const first = log.erasedBatches.slice(0, shownBatches).join(', ')
    const more = log.erasedFrames > shownBatches ? ` and ${log.erasedFrames - shownBatches} more` : ''
    out.line(`            ${countText(log.erasedFrames, 'frame')} rewritten by ${countText(log.erasures, 'erasure')}, in place and in the chain: of batch ${first}${more}`)
  }
  if (log.compactedUpTo > 0) out.line(`            compacted up to batch ${log.compactedUpTo}: ${countText(log.compactedFrames, 'frame')} hold less than was written, in the chain and at their batches`)
  if (log.isErasureUnderWay) out.line('            an erasure is under way: it goes on when the database is opened')
  if (log.isHalfErased) out.line('            it is in the middle of the files: checkpoints are not compared with the log, and no rows are made, until it has ended')
  if (log.tornBytes > 0) out.line(`            ${bytesText(log.tornBytes)} behind the last frame were never acknowledged: no damage, open() cuts them`)
  for (const { file, state, batch, rows: count, bytes, comparedWith } of checkpoints) {
    const what = state === 'unfinished' ? 'not finished: open() takes the other one' : `${state}, batch ${batch}, ${countText(count, 'row or outcome', 'rows and outcomes')}, ${bytesText(bytes)}`
    out.line(`checkpoint  ${file}: ${what}`)
    if (comparedWith !== undefined) out.line(`            compared row by row with what ${comparedWith} make${comparedWith.startsWith('the') ? 's' : ''}`)
  }
  if (rows !== undefined) out.line(`state       ${countText(rows, 'row')}, each in its place and once in each of its indexes`)
  for (const finding of findings) out.line(`DAMAGED     ${findingText(finding)}`)
  out.line(isWhole ? 'whole' : `damaged: ${countText(findings.length, 'finding')}`)
}

/** `log/0000000001.slog, byte 4096, after batch 7: the checksum of the body is wrong`. */
export function findingText({ part, file, offset, batch, table, key, message }: Finding): string {
  const places = [
    file ?? part,
    offset === undefined ? undefined : `byte ${offset}`,
    batch === undefined ? undefined : `batch ${batch}`,
    table === undefined ? undefined : `table ${plain(table)}`,
    key === undefined ? undefined : `key ${textOf(key)}`,
  ]
  return `${places.filter((place) => place !== undefined).join(', ')}: ${plain(message)}`
}
