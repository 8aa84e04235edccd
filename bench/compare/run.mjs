/**
 * Ours and the peers, side by side in one run.
 *
 *   npm run bench:compare                      install the missing peers, measure, write table, JSON and HTML
 *   npm run bench:compare -- --smoke           tiny
 *   npm run bench:compare -- read-one ycsb     some sections, by name or by the first words of it; --list: their names
 *   npm run bench:compare -- --set rows=100000 --set repetitions=3
 *   npm run bench:compare -- --only better-sqlite3 --only plain   the first contestant of each section, and peers whose name begins so
 *   npm run bench:compare -- --no-install      with what is there
 *
 * The peers live here with packages of their own, so that nobody who uses the database builds SQLite. better-sqlite3
 * compiles from source where no binary can be fetched (one to two minutes); what cannot be installed is reported as
 * skipped.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { htmlOf } from './html.mjs'
import { marketplaceId, marketplaceResults, marketplaceTitle } from './sections-marketplace.mjs'
import { sections } from './sections.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const compiled = new URL('../../dist/bench/', import.meta.url)
const { bench, resultsDirectory } = await import(new URL('harness.js', compiled).href)
const { contest, modules, play } = await import(new URL('contest/contest.js', compiled).href)
const { amount, machineText, rangeText, tableText } = await import(new URL('report.js', compiled).href)
const { spread } = await import(new URL('statistics.js', compiled).href)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    'no-install': { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
  },
})

function installPeers() {
  const needed = [join('better-sqlite3', 'build', 'Release', 'better_sqlite3.node'), 'lmdb', 'pg', 'nats']
  if (needed.every((path) => existsSync(join(here, 'node_modules', path)))) return
  console.log('installing the peers in bench/compare …')
  const shell = process.platform === 'win32'
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit', shell })
  if (status !== 0) console.error('the peers could not be installed: those that are missing will be skipped')
}

const samplesOf = {
  rates: ({ rates }) => rates,
  p50: ({ latencies }) => latencies.map(({ p50 }) => p50),
  megabytes: ({ residentBytes }) => residentBytes.map((bytes) => bytes / 1e6),
}

/** Each repetition in a process of its own, where what was used once does not come back: memory. */
async function freshContest(b, section) {
  const repetitions = b.parameter('freshRepetitions', 1, 3)
  const runs = []
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    const { kind, settings, entries } = section
    runs.push(await play(b, { kind, settings }, entries, { warmups: 0, repetitions: 1 }))
  }
  const residentBytes = (place) => runs.flatMap((run) => run[place].residentBytes)
  return runs[0].map((standing, place) => ({ ...standing, residentBytes: residentBytes(place) }))
}

async function measure(b, section) {
  const { kind, settings, entries } = section
  const standings = section.fresh ? await freshContest(b, section) : await contest(b, kind, settings, entries)
  const ours = standings[0]
  if (ours.skipped !== undefined) throw new Error(`${ours.name} could not play: ${ours.skipped}`)
  const own = spread(samplesOf[section.of](ours)).median
  const lines = standings.map((standing, place) => {
    if (standing.skipped !== undefined) return { name: standing.name, skipped: standing.skipped }
    const figures = spread(samplesOf[section.of](standing))
    const ratio = section.better === 'higher' ? own / figures.median : figures.median / own
    const { goal } = entries[place]
    return { name: standing.name, ...figures, ratio, goal, met: goal === undefined ? undefined : ratio >= goal, digest: standing.digest }
  })
  const { id, title, about, unit, better } = section
  return { id, title, about, unit, better, lines }
}

function goalText({ goal, met }) {
  return goal === undefined ? '' : ` (goal ${goal}x ${met ? 'reached' : 'MISSED'})`
}

function sectionText({ title, about, unit, lines }) {
  const rows = lines.map((line) =>
    line.skipped !== undefined
      ? [line.name, `skipped: ${line.skipped}`, '']
      : [line.name, rangeText(line, unit), `${line.ratio.toPrecision(3)}x${goalText(line)}`])
  const table = tableText([['', 'median (min–max)', 'the first is better by'], ...rows])
  return [title, `  ${about}`, '', ...table, ''].join('\n')
}

const isAsked = ({ id }) => positionals.length === 0 || positionals.some((name) => id === name || id.startsWith(`${name}-`))
const withAsked = (section) => {
  const plays = ({ name }, place) => place === 0 || values.only.length === 0 || values.only.some((peer) => name.startsWith(peer))
  return { ...section, entries: section.entries.filter(plays) }
}
if (values.list) {
  const real = { number: (_name, _smoke, value) => value }
  for (const { id, title } of sections(modules, real)) console.log(`${id.padEnd(22)} ${title}`)
  console.log(`${marketplaceId.padEnd(22)} ${marketplaceTitle}`)
  process.exit()
}
if (!values['no-install']) installPeers()
const set = new Map(values.set.map((text) => {
  const [name, value] = text.split('=')
  return [name, Number(value)]
}))
const results = []
const record = await bench('compare', { smoke: values.smoke, set }, async (b) => {
  const all = sections(modules, { number: (name, smoke, real) => b.parameter(name, smoke, real) })
  const ids = [...all.map(({ id }) => id), marketplaceId]
  const unknown = positionals.filter((name) => !ids.some((id) => id === name || id.startsWith(`${name}-`)))
  const known = ids.join(', ')
  if (unknown.length > 0) throw new Error(`no section ${unknown.join(', ')}; there are ${known}`)
  for (const section of all.filter(isAsked).map(withAsked)) {
    const result = await measure(b, section)
    results.push(result)
    console.log(sectionText(result))
  }
  if (!isAsked({ id: marketplaceId })) return
  for (const result of await marketplaceResults(b, spread)) {
    results.push(result)
    console.log(sectionText(result))
  }
})
const { figures: _figures, latencies: _latencies, reports: _reports, notes: _notes, ...run } = record
console.log(machineText(run.machine, run.quiet))
mkdirSync(resultsDirectory, { recursive: true })
const name = values.smoke ? 'compare-smoke' : 'compare'
writeFileSync(join(resultsDirectory, `${name}.json`), `${JSON.stringify({ ...run, sections: results }, null, 2)}\n`)
writeFileSync(join(resultsDirectory, `${name}.html`), htmlOf(run, results, { amount, machineText }))
console.log(`written: ${join(resultsDirectory, `${name}.json`)} and ${name}.html`)
