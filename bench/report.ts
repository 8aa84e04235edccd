/** How a run is told: a table for people, one line of JSON for programs. */
import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { resultsDirectory, type BenchRecord, type Figure } from './harness.js'
import type { Machine, Quiet } from './machine.js'
import type { Latency, Spread } from './statistics.js'

/** Appended, so that the history of a figure stays readable: bench/results/<bench>.jsonl. */
export function writeRecord(record: BenchRecord): void {
  mkdirSync(resultsDirectory, { recursive: true })
  appendFileSync(join(resultsDirectory, `${record.bench}.jsonl`), `${JSON.stringify(record)}\n`)
}

export function recordText(record: BenchRecord): string {
  const lines = [`${record.bench}${record.mode === 'smoke' ? '  (smoke: the figures mean nothing)' : ''}`]
  const parameters = Object.entries(record.parameters).map(([name, value]) => `${name} ${value.toLocaleString('en')}`)
  lines.push(`  ${parameters.join(', ')}`, '')
  if (record.figures.length > 0) lines.push(...figureLines(record.figures), '')
  for (const [name, latency] of Object.entries(record.latencies)) lines.push(`  ${latencyText(name, latency)}`)
  for (const [name, value] of Object.entries(record.reports)) lines.push(`  ${name} ${value}`)
  for (const note of record.notes) lines.push(`  note: ${note}`)
  lines.push(`  ${machineText(record.machine, record.quiet)}`)
  return lines.join('\n')
}

export function machineText(machine: Machine, quiet: { readonly before: Quiet; readonly after: Quiet }): string {
  const { processor, cores, memoryGiB, system, node, flags } = machine
  const loud = quiet.before.loadAverage > 0.5 ? ' (not quiet: distrust the figures)' : ''
  const arithmetic = `arithmetic ${quiet.before.arithmeticMs} → ${quiet.after.arithmeticMs} ms`
  return `${processor}, ${cores} cores, ${memoryGiB} GiB, ${system}, node ${node}${flags && ` ${flags}`}; `
    + `load before ${quiet.before.loadAverage}${loud}, ${arithmetic}`
}

function figureLines(figures: readonly Figure[]): string[] {
  const header = ['figure', 'median (min–max)', 'goal', 'peer in the same run', 'ratio', 'goal']
  const rows = figures.map((figure) => {
    const { peer, unit } = figure
    return [
      figure.name,
      rangeText(figure, unit),
      figure.goal === undefined ? '–' : `${bound(figure)} ${amount(figure.goal, unit)} ${verdict(figure.met)}`,
      peer === undefined ? '–' : `${peer.name}: ${rangeText(peer, unit)}`,
      peer === undefined ? '–' : `${peer.ratio.toPrecision(3)}x`,
      peer?.goal === undefined ? '–' : `≥ ${Number(peer.goal.toPrecision(3))}x ${verdict(peer.met)}`,
    ]
  })
  return tableText([header, ...rows])
}

export function tableText(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const padded = (cell: string, column: number): string => cell.padEnd(widths[column] ?? 0)
  const lines = rows.map((row) => `  ${row.map(padded).join('  ').trimEnd()}`)
  return [lines[0] ?? '', `  ${widths.map((width) => '─'.repeat(width)).join('  ')}`, ...lines.slice(1)]
}

function bound(figure: Figure): string {
  return figure.better === 'higher' ? '≥' : '≤'
}

function verdict(met: boolean | undefined): string {
  return met === undefined ? '' : met ? 'reached' : 'MISSED'
}

export function rangeText(range: Omit<Spread, 'samples'>, unit: string): string {
  return `${amount(range.median, unit)} (${amount(range.min, '')}–${amount(range.max, '')})`
}

export function latencyText(name: string, latency: Latency): string {
  const { p50, p99, p999, max, count } = latency
  const points = [['p50', p50], ['p99', p99], ['p99.9', p999], ['max', max]] as const
  const texts = points.map(([point, value]) => `${point} ${amount(value, 'µs')}`)
  return `${name}: ${texts.join(', ')} (${count.toLocaleString('en')} samples)`
}

/** Three digits, thousands and millions by letter: 1.24M/s, 86.1k/s, 2.31 µs. */
export function amount(value: number, unit: string): string {
  const size = Math.abs(value)
  const scaled = size >= 1e6 ? `${digits(value / 1e6)}M` : size >= 1e4 ? `${digits(value / 1e3)}k` : digits(value)
  return unit === '' ? scaled : unit.startsWith('/') ? `${scaled}${unit}` : `${scaled} ${unit}`
}

function digits(value: number): string {
  const size = Math.abs(value)
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2)
}
