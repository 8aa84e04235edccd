/** The comparison as one page without a script or a link: inline SVG bars, readable in light and dark. */

const labelWidth = 330
const barWidth = 420
const valueWidth = 300
const rowHeight = 26
/** Half the height of the ends of a range. */
const whisker = 4

export function htmlOf(run, sections, { amount, machineText }) {
  const smoke = run.mode === 'smoke' ? 'Smoke run: the figures mean nothing. ' : ''
  const notes = `${machineText(run.machine, run.quiet)}. ${smoke}${run.at}.`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>SluiceDB beside its peers</title>
<style>
  :root { color-scheme: light dark; --ours: #0b7a75; --peer: #9aa5b1; --ink: #1f2933; --faint: #616e7c; --page: #fff }
  @media (prefers-color-scheme: dark) {
    :root { --ours: #2cb1bc; --peer: #52606d; --ink: #e4e7eb; --faint: #9aa5b1; --page: #12181f }
  }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page) }
  body { max-width: 1020px; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2rem 0 0 } p { color: var(--faint); margin: .2rem 0 .6rem }
  svg { width: 100%; height: auto }
  text { font: 13px system-ui, sans-serif; fill: var(--ink) } .faint { fill: var(--faint) }
  .ours { fill: var(--ours) } .peer { fill: var(--peer) } .range { stroke: var(--ink); stroke-width: 1.5; fill: none }
</style>
<h1>SluiceDB beside its peers</h1>
<p>One run on one machine, contestants taking turns, medians with the range of all rounds. ${escaped(notes)}</p>
${sections.map((section) => sectionHtml(section, amount)).join('\n')}
</html>
`
}

function sectionHtml({ title, about, unit, better, lines }, amount) {
  const longest = Math.max(...lines.map((line) => line.max ?? 0))
  const height = lines.length * rowHeight
  const width = labelWidth + barWidth + valueWidth
  const rows = lines.map((line, place) => rowSvg(line, place * rowHeight, { unit, longest, amount, first: lines[0] }))
  const direction = better === 'higher' ? 'longer is better' : 'shorter is better'
  return `<h2>${escaped(title)}</h2>
<p>${escaped(about)} ${direction}.</p>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">${rows.join('')}</svg>`
}

function rowSvg(line, top, { unit, longest, amount, first }) {
  const middle = top + rowHeight / 2
  const base = middle + 4
  const label = `<text x="${labelWidth - 10}" y="${base}" text-anchor="end">${escaped(line.name)}</text>`
  if (line.skipped !== undefined) {
    return `${label}<text class="faint" x="${labelWidth}" y="${base}">skipped: not installed</text>`
  }
  const x = (value) => labelWidth + (Math.max(0, value) / longest) * barWidth
  const kind = line.name.startsWith('sluicedb') ? 'ours' : 'peer'
  const length = Math.max(1, x(line.median) - labelWidth).toFixed(1)
  const [barTop, barHeight] = [top + 5, rowHeight - 10]
  const bar = `<rect class="${kind}" x="${labelWidth}" y="${barTop}" width="${length}" height="${barHeight}" rx="2"/>`
  const [least, most] = [x(line.min).toFixed(1), x(line.max).toFixed(1)]
  const end = `v-${whisker} v${2 * whisker} v-${whisker}`
  const range = `<path class="range" d="M${least} ${middle} ${end} H${most} ${end}"/>`
  const verdict = line.goal === undefined ? '' : `, goal ${line.goal}x ${line.met ? 'reached' : 'MISSED'}`
  const ratio = line === first ? '' : ` · ${line.ratio.toPrecision(3)}x${verdict}`
  const median = escaped(amount(line.median, unit))
  const behind = (x(line.max) + 8).toFixed(1)
  const value = `<text x="${behind}" y="${base}">${median}<tspan class="faint">${ratio}</tspan></text>`
  return label + bar + range + value
}

function escaped(text) {
  return String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
