/** What a run has come to: as text on the terminal, and as the figures of the report. */
import { statfsSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { criteria, holds, type Finding } from '../workloads/marketplace/verdict.js'
import { titles, type Measurements } from './measurements.js'
import type { DemoOptions } from './options.js'
import { column, count, milliseconds, type Terminal } from './terminal.js'

/** One occasion on which criteria were asked for. */
export interface Look {
  readonly title: string
  readonly findings: readonly Finding[]
}

export type NamedValue = readonly [name: string, value: string]

export interface Run {
  readonly passed: boolean
  /** What went wrong apart from the criteria. */
  readonly failure: string | undefined
  /** Every criterion, over all looks, in the order of their numbers. */
  readonly findings: readonly Finding[]
  readonly looks: readonly Look[]
  readonly facts: readonly NamedValue[]
  readonly measurements: Measurements
  /** Milliseconds since the load began. */
  readonly killedMs: number
}

const nameWidth = 16
const numberWidth = 12
const criterionWidth = 74
const tmpfsType = 0x0102_1994

export function printSummary(terminal: Terminal, run: Run): void {
  const line = (cells: readonly string[]): string => {
    return cells.map((cell, place) => column(cell, place === 0 ? nameWidth : numberWidth, place > 0)).join('')
  }
  terminal.say('')
  terminal.say(
    terminal.paint('dim', line(['transaction', 'count', 'per second', 'p50 ms', 'p99 ms', 'p99.9 ms'])),
  )
  for (const { type, count: times, perSecond, p50, p99, p999 } of run.measurements.latencies()) {
    terminal.say(line([titles[type], count(times), count(perSecond), ...[p50, p99, p999].map(milliseconds)]))
  }
  const { total, perSecond } = run.measurements
  terminal.say(terminal.paint('bold', line(['all', count(total), count(perSecond)])))
  terminal.say('')

  for (const finding of run.findings) {
    const mark = holds(finding) ? terminal.paint('green', '✓') : terminal.paint('red', '✗')
    const wrong = finding.violations > 0 ? `, ${count(finding.violations)} violations` : ''
    const counts = terminal.paint('dim', `${count(finding.checked)} checks${wrong}`)
    const number = column(String(finding.criterion), 2, true)
    terminal.say(`${mark} ${number}  ${column(criteria[finding.criterion], criterionWidth)}${counts}`)
    for (const example of finding.examples) terminal.say(`       ${terminal.paint('red', example)}`)
  }
  terminal.say('')
  if (run.failure !== undefined) terminal.say(terminal.paint('red', `✗ ${run.failure}`))
}

/** The figures at the top of the report, and the small print at its end. */
export function figuresAndFacts(
  run: Run,
  options: DemoOptions,
): { readonly figures: readonly NamedValue[]; readonly facts: readonly NamedValue[] } {
  const { measurements, findings } = run
  const { seed, customers, products, workers, outstanding, skew, directory } = options
  const down = measurements.phases.find((phase) => phase.kind === 'down')
  const violations = findings.reduce((sum, finding) => sum + finding.violations, 0)
  const sizes = `${count(customers)} customers, ${count(products)} products`
  const memory = `${(totalmem() / 2 ** 30).toFixed(1)} GiB`
  const checkouts = measurements.countOf('checkout') / measurements.loadSeconds
  return {
    figures: [
      ['transactions acknowledged', count(measurements.total)],
      ['transactions per second of load', count(measurements.perSecond)],
      ['checkouts per second of load', count(checkouts)],
      ['from SIGKILL to open', down ? `${milliseconds(down.to - down.from)} ms` : '–'],
      ['violations', count(violations)],
    ],
    facts: [
      ...run.facts,
      ['Workload', `${sizes}, ${outstanding} at a time, skew ${skew}, seed ${seed}`],
      ['Workers', String(workers)],
      [
        'Durability',
        `fsync, in ${directory}${onTmpfs(directory) ? ' (tmpfs: an fsync costs nothing here)' : ''}`,
      ],
      ['Machine', `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores, ${memory}`],
      ['Node', process.versions.node],
    ],
  }
}

function onTmpfs(directory: string): boolean {
  try {
    return statfsSync(directory).type === tmpfsType
  } catch {
    return false
  }
}
