/** The report: one HTML file that needs nothing else, neither a network nor a script. */
import { criteria, holds } from '../workloads/marketplace/verdict.js'
import { titles, type Latencies } from './measurements.js'
import { escapeText, latencyPlot, throughputPlot } from './plot.js'
import type { NamedValue, Run } from './summary.js'
import { count, milliseconds } from './terminal.js'

export interface ReportData extends Run {
  readonly figures: readonly NamedValue[]
}

export function reportHtml(data: ReportData): string {
  const { bins, phases } = data.measurements
  const latencies = data.measurements.latencies()
  const verdict = data.passed ? 'All criteria hold' : 'The run failed'
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>SluiceDB: Online Marketplace</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>Online Marketplace on SluiceDB</h1>
<p class="${data.passed ? 'passed' : 'failed'}">${data.passed ? '✓' : '✗'} ${verdict}</p>
${data.failure === undefined ? '' : `<pre class="failure">${escapeText(data.failure)}</pre>`}
</header>
<section class="figures">${data.figures.map(figure).join('')}</section>
<section>
<h2>Throughput</h2>
<p>Acknowledged transactions per second, each on disk before its acknowledgement. The process that owns the
database is killed with SIGKILL in mid-load; red is the time until it serves again, grey the time in which the
recovered state is audited.</p>
${throughputPlot(bins, phases, data.killedMs)}
</section>
<section>
<h2>Latency</h2>
<p>From the call to the durable answer, in milliseconds, on a logarithmic axis. A dashboard is two queries on one
snapshot, with a turn of the event loop between them.</p>
${latencyPlot(latencies)}
${latencyTable(latencies)}
</section>
<section>
<h2>Consistency criteria</h2>
${criteriaTable(data)}
</section>
<section>
<h2>This run</h2>
<table class="facts"><tbody>${data.facts.map(([name, value]) => row([name, value])).join('')}</tbody></table>
</section>
</body>
</html>
`
}

function figure([name, value]: NamedValue): string {
  return `<div><b>${escapeText(value)}</b><span>${escapeText(name)}</span></div>`
}

function latencyTable(latencies: readonly Latencies[]): string {
  const head = ['transaction', 'count', 'per second', 'refused', 'p50', 'p99', 'p99.9', 'max']
  const rows = latencies.map((latency) =>
    row([
      titles[latency.type],
      count(latency.count),
      count(latency.perSecond),
      count(latency.refused),
      ...[latency.p50, latency.p99, latency.p999, latency.max].map(milliseconds),
    ]),
  )
  return `<table class="numbers"><thead>${row(head, 'th')}</thead><tbody>${rows.join('')}</tbody></table>`
}

function criteriaTable({ findings, looks }: ReportData): string {
  const head = ['', '', 'criterion', ...looks.map((look) => look.title), 'violations']
  const rows = findings.map((finding) => {
    const right = holds(finding)
    const checks = looks.map((look) => {
      const found = look.findings.find((other) => other.criterion === finding.criterion)
      return `<td class="number">${found ? count(found.checked) : '–'}</td>`
    })
    const examples = finding.examples.map((example) => `<li>${escapeText(example)}</li>`).join('')
    const name = escapeText(criteria[finding.criterion]) + (examples && `<ul>${examples}</ul>`)
    return [
      `<tr class="${right ? 'passed' : 'failed'}">`,
      `<td>${right ? '✓' : '✗'}</td>`,
      `<td class="number">${finding.criterion}</td>`,
      `<td class="criterion">${name}</td>`,
      ...checks,
      `<td class="number">${count(finding.violations)}</td>`,
      '</tr>',
    ].join('')
  })
  return `<p>How often each criterion was asked for, and how often it did not hold.</p>
<table class="criteria"><thead>${row(head, 'th')}</thead><tbody>${rows.join('')}</tbody></table>`
}

function row(cells: readonly string[], tag: 'td' | 'th' = 'td'): string {
  return `<tr>${cells.map((cell) => `<${tag}>${escapeText(cell)}</${tag}>`).join('')}</tr>`
}

const style = `
:root {
  color-scheme: light;
  --ink: #1d2733; --soft: #5d6b7a; --line: #dfe5ea; --blue: #1f6fb2; --green: #1c7c46; --red: #b3261e;
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 980px; padding: 32px 30px 60px;
  background: #fff; color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 26px; }
h2 { margin: 40px 0 6px; font-size: 19px; }
p { margin: 4px 0 14px; color: var(--soft); }
header .passed, header .failed { font-size: 18px; font-weight: 600; }
.passed { color: var(--green); }
.failed { color: var(--red); }
.failure { white-space: pre-wrap; color: var(--red); background: #fdf3f2; padding: 12px; border-radius: 6px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.figures div { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.figures b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: 13px; }
svg { width: 100%; height: auto; display: block; margin: 8px 0 16px; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); }
svg .name { fill: var(--ink); font-size: 13px; }
svg .small { font-size: 11px; }
svg .kill-label { fill: var(--red); font-weight: 600; }
.grid { stroke: var(--line); }
.curve { fill: none; stroke: var(--blue); stroke-width: 2; }
.area { fill: var(--blue); opacity: .12; }
.down { fill: var(--red); opacity: .22; }
.audit { fill: #8a97a5; opacity: .18; }
.kill { stroke: var(--red); stroke-width: 2; stroke-dasharray: 5 4; }
.reach { stroke: #b9c6d2; stroke-width: 4; stroke-linecap: round; }
.dot50 { fill: #1f6fb2; }
.dot99 { fill: #e08a00; }
.dot999 { fill: #b3261e; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; font-size: 13px; }
th, td { border-bottom: 1px solid var(--line); padding: 6px 10px 6px 0; vertical-align: top; }
.numbers td:not(:first-child), .numbers th:not(:first-child) { text-align: right; }
td.number, .criteria th:nth-child(n+4) { text-align: right; }
.criteria .criterion { color: var(--ink); }
.criteria ul { margin: 4px 0; padding-left: 18px; color: var(--red); font-size: 13px; overflow-wrap: anywhere; }
.facts td:first-child { color: var(--soft); width: 220px; }
`
