/** The two plots of the report, as SVG text. Every label goes through `escapeText`. */
import type { Latencies, Phase } from './measurements.js'
import { binMs, titles } from './measurements.js'
import { count, milliseconds } from './terminal.js'

const width = 920
const left = 72
const right = 24
const labelledBandMin = 56
const printed = { p50: 'p50', p99: 'p99', p999: 'p99.9' } as const
const plotWidth = width - left - right

export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`)
}

/** Transactions per second over the seconds of the run, with the kill and what followed it marked. */
export function throughputPlot(bins: readonly number[], phases: readonly Phase[], killedMs: number): string {
  const height = 280
  const top = 28
  const bottom = 40
  const plotHeight = height - top - bottom
  const endMs = Math.max(bins.length * binMs, ...phases.map((phase) => phase.to), 1)
  const whole = bins.slice(0, Math.max(1, bins.length - 1)) // the last one is cut short by the end of the load
  const perSecond = whole.map((value) => (value * 1_000) / binMs)
  const ceiling = niceCeiling(Math.max(1, ...perSecond))
  const x = (ms: number): number => left + (ms / endMs) * plotWidth
  const y = (value: number): number => top + plotHeight * (1 - value / ceiling)

  const grid: string[] = []
  for (let step = 0; step <= 4; step += 1) {
    const value = (ceiling * step) / 4
    grid.push(
      line(left, y(value), left + plotWidth, y(value), 'grid'),
      label(left - 8, y(value) + 4, count(value), 'end'),
    )
  }
  const everySeconds = Math.max(1, Math.ceil(endMs / 1_000 / 12))
  for (let second = 0; second * 1_000 <= endMs; second += everySeconds) {
    grid.push(label(x(second * 1_000), top + plotHeight + 18, `${second} s`, 'middle'))
  }
  const bands = phases
    .filter((phase) => phase.kind !== 'load')
    .map((phase) => {
      const from = x(phase.from)
      const wide = Math.max(1, x(phase.to) - from)
      const title = `${phase.name}: ${milliseconds(phase.to - phase.from)} ms`
      const place = `x="${round(from)}" y="${top}" width="${round(wide)}" height="${plotHeight}"`
      const name =
        wide > labelledBandMin ? label(from + wide / 2, top + 14, phase.short, 'middle', 'small') : ''
      return `<rect class="${phase.kind}" ${place}><title>${escapeText(title)}</title></rect>${name}`
    })
  const points = perSecond.map((value, bin) => `${round(x((bin + 0.5) * binMs))},${round(y(value))}`)
  const floor = top + plotHeight
  const ends = [round(x(binMs / 2)), round(x((whole.length - 0.5) * binMs))]
  const area = points.length === 0 ? '' : `M${ends[0]},${floor} L${points.join(' L')} L${ends[1]},${floor} Z`
  const kill = [
    line(x(killedMs), top - 6, x(killedMs), top + plotHeight, 'kill'),
    label(x(killedMs) - 6, top - 10, 'SIGKILL', 'end', 'kill-label'),
  ]
  return svg(height, 'Transactions per second over time', [
    ...grid,
    ...bands,
    `<path class="area" d="${area}"/>`,
    `<polyline class="curve" points="${points.join(' ')}"/>`,
    ...kill,
  ])
}

/** p50, p99 and p99.9 of each type on one logarithmic axis. */
export function latencyPlot(latencies: readonly Latencies[]): string {
  const shown = latencies.filter((latency) => latency.count > 0)
  const rowHeight = 46
  const top = 34
  const height = top + rowHeight * shown.length + 30
  const names = 120
  const values = shown.flatMap(({ p50, p999 }) => [p50, p999])
  const low = Math.floor(Math.log10(Math.max(1e-3, Math.min(...values, 1e3))))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1e-3, ...values))))
  const from = left + names - 40
  const x = (ms: number): number =>
    from + ((Math.log10(Math.max(1e-3, ms)) - low) / (high - low)) * (left + plotWidth - from - 20)

  const parts: string[] = []
  for (let power = low; power <= high; power += 1) {
    const at = x(10 ** power)
    parts.push(
      line(at, top - 8, at, height - 26, 'grid'),
      label(at, height - 8, `${10 ** power} ms`, 'middle'),
    )
  }
  const marks = [
    ['p50', 'dot50'],
    ['p99', 'dot99'],
    ['p999', 'dot999'],
  ] as const
  marks.forEach(([name, style], place) => {
    const at = from + place * 90
    parts.push(
      `<circle class="${style}" cx="${at}" cy="12" r="5"/>`,
      label(at + 10, 16, printed[name], 'start'),
    )
  })
  shown.forEach((latency, row) => {
    const y = top + row * rowHeight + rowHeight / 2
    parts.push(label(8, y + 4, titles[latency.type], 'start', 'name'))
    parts.push(line(x(latency.p50), y, x(latency.p999), y, 'reach'))
    for (const [name, style] of marks) {
      const title = `${titles[latency.type]} ${printed[name]}: ${milliseconds(latency[name])} ms`
      const place = `cx="${round(x(latency[name]))}" cy="${y}" r="6"`
      parts.push(`<circle class="${style}" ${place}><title>${escapeText(title)}</title></circle>`)
    }
    parts.push(label(x(latency.p50), y - 11, milliseconds(latency.p50), 'middle', 'small'))
    parts.push(label(x(latency.p999), y - 11, milliseconds(latency.p999), 'middle', 'small'))
    parts.push(label(x(latency.p99), y + 20, milliseconds(latency.p99), 'middle', 'small'))
  })
  return svg(height, 'Latency per type of transaction', parts)
}

function svg(height: number, title: string, parts: readonly string[]): string {
  const name = escapeText(title)
  const head = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${name}">`
  return [head, `<title>${name}</title>`, ...parts, '</svg>'].join('\n')
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line class="${style}" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`
}

function label(
  x: number,
  y: number,
  text: string,
  anchor: 'start' | 'middle' | 'end',
  style = 'label',
): string {
  const place = `x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"`
  return `<text class="${style}" ${place}>${escapeText(text)}</text>`
}

/** The next of 1, 2, 2.5, 4, 5, 10 times a power of ten: axes are read, not decoded. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const factor = [1, 2, 2.5, 4, 5, 10].find((candidate) => candidate * power >= value) ?? 10
  return factor * power
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
