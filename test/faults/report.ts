/**
 * docs/reliability.md from the records of a run of the fault table.
 *
 *   npx tsx test/faults/report.ts [folder of records ...]      writes the page
 *
 * A row of several parts ("11 log", "11 manifest") has one line for each; a row that was run several times (soak.ts gives
 * every round a folder of its own) is added up.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { recordFolder, type FaultRecord } from './record.js'

const repository = fileURLToPath(new URL('../..', import.meta.url))
export const pagePath = join(repository, 'docs', 'reliability.md')

export interface RowSum extends FaultRecord {
  readonly runs: number
}

export function readRecords(folders: readonly string[]): RowSum[] {
  const sums = new Map<string, RowSum>()
  for (const folder of folders) {
    if (!existsSync(folder)) continue
    for (const name of readdirSync(folder).filter((one) => /^row-.*\.json$/.test(one))) {
      const record = JSON.parse(readFileSync(join(folder, name), 'utf8')) as FaultRecord
      const before = sums.get(record.row)
      const sum = before === undefined ? { ...record, runs: 1 } : added(before, record)
      sums.set(record.row, sum)
    }
  }
  return [...sums.values()].sort((a, b) => placeOf(a.row) - placeOf(b.row) || (a.row < b.row ? -1 : 1))
}

function added(sum: RowSum, record: FaultRecord): RowSum {
  return {
    ...record,
    count: sum.count + record.count,
    ms: sum.ms + record.ms,
    failures: [...sum.failures, ...record.failures],
    isCut: sum.isCut && record.isCut,
    runs: sum.runs + 1,
  }
}

const placeOf = (row: string): number => Number.parseInt(row, 10)

const promises = [
  'Procedures are strictly serialisable; the result of a batch is its serial execution, for any number of workers (row 25, `test/model`, `test/schedules`).',
  'An acknowledged transaction survives the death of the process and, with `fsync`, the loss of power (rows 1 – 7).',
  'No event is delivered that could later be undone; streams are gapless and ordered (rows 4, 25, `test/contract/stream.test.ts`).',
  'After a crash the state is an exact prefix of the log (rows 1 – 3, 6, 25).',
  'Damaged bytes are detected, never served; damage before the tail is never cut off silently (rows 11 – 13, 32).',
  'A failing, hanging or memory-hungry procedure or worker cannot corrupt or stop other work (rows 15 – 19).',
  'Memory is bounded by configuration (rows 18, 19, 30).',
]
const notPromised = [
  'a disk that loses silently what it said was on disk',
  'damage to the very last frame before it is certified (50 ms later, or at close): it looks like a torn write',
  'the newest part of the log being cut away whole, with everything that names it: that looks like an older database',
  'files of a copy of the same database, mixed with its own: they have the same id',
  'procedures that attack the process they run in',
]

export function pageOf(rows: readonly RowSum[]): string {
  const lines = [
    '# Reliability',
    '',
    'Written by `npm run test:faults`; not edited by hand. Every line is a test that anybody can run.',
    '',
    '## What is promised',
    '',
    ...promises.map((line, n) => `${n + 1}. ${line}`),
    '',
    `Not promised: ${notPromised.join('; ')}.`,
    '',
    '## What was done to it',
    '',
    'Row numbers are those of the fault table of the design. "Cases" is how often the fault struck, or the database was opened on it. Row 5, power',
    'loss on a real file system, is covered by row 2: the simulated disk loses more, and in more orders, than a real one.',
    '',
    '| row | fault | cases | failures | time | figures |',
    '| --- | --- | ---: | ---: | ---: | --- |',
    ...rows.map(lineOf),
    '',
    ...rows.flatMap(paragraphOf),
    '## Where and when',
    '',
    ...[...new Set(rows.map(({ commit, date, machine, node }) => `- ${date}, commit ${commit}, Node ${node}, ${machine}`))],
    '',
    'A failure prints its seed and how to run that case again. `npm run test:soak -- --minutes N` goes on with new seeds for as long as it is told.',
    '',
  ]
  return lines.join('\n')
}

function lineOf({ row, title, count, failures, ms, figures }: RowSum): string {
  const shown = figures.map(({ name, value, unit }) => `${name}: ${typeof value === 'number' ? grouped(value) : value}${unit === '' ? '' : ` ${unit}`}`)
  return `| ${row} | ${cell(title)} | ${grouped(count)} | ${failures.length} | ${(ms / 1_000).toFixed(1)} s | ${cell(shown.join('; '))} |`
}

function paragraphOf({ row, title, injected, invariant, failures }: RowSum): string[] {
  const failed = failures.map((failure) => `Failed: ${failure.split('\n')[0]}`)
  return [`**${row}. ${title}.** ${capital(injected)}. *Must hold:* ${invariant}.`, ...failed, '']
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
const grouped = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 2 })

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folders = process.argv.slice(2)
  const rows = readRecords(folders.length > 0 ? folders : [recordFolder])
  if (rows.length === 0) throw new Error('there are no records: run the fault table first')
  writeFileSync(pagePath, pageOf(rows))
  console.log(`${rows.length} rows, ${rows.reduce((sum, { count }) => sum + count, 0)} cases, ${rows.reduce((sum, { failures }) => sum + failures.length, 0)} failures: ${pagePath}`)
}
