/**
 * The micro suite (benny): codecs, indexes, rows, the request ring.
 *
 *   npm run bench:micro                 all cases, well below a minute
 *   npm run bench:micro -- tree hash    the cases whose names hold one of the words
 *   npm run bench:micro -- --smoke      tiny
 *
 * Throughput of one thread on warm code and data that mostly fits the caches: good for comparing two ways of writing
 * the same thing on the same day, not for promises. Latency, disks and threads are the business of bench/main.ts.
 */
import { add, configure, complete, suite } from 'benny'
import { parseArgs } from 'node:util'
import { machine, quiet } from '../machine.js'
import { machineText, tableText } from '../report.js'
import { accessorCases } from './accessor-cases.js'
import { codecCases } from './codec-cases.js'
import { insideCases } from './inside-cases.js'
import { loaderCases } from './loader-cases.js'
import { operationsPerRun, type MicroCase } from './micro-case.js'
import { ringCases } from './ring-cases.js'
import { storeCases } from './store-cases.js'

const secondsPerCase = 1
const smokeSecondsPerCase = 0.02

async function measure(cases: readonly MicroCase[], maxTime: number): Promise<string[][]> {
  const lines: string[][] = []
  for (const { name, prepare } of cases) {
    // One suite a case: what a case keeps is free for collection before the next is prepared.
    const run = await prepare()
    const timing = { minSamples: 5, maxTime, initCount: 1, delay: 0 }
    const summary = await suite(name, configure({ cases: timing }), add(name, run), complete())
    const [result] = summary.results
    if (result === undefined || result.ops === 0) throw new Error(`"${name}" measured nothing`)
    // The median and not the mean: the machine is shared.
    const ns = (result.details.median * 1e9) / operationsPerRun
    const [error, rate] = [`±${result.margin.toFixed(1)} %`, `${(1e3 / ns).toFixed(2)}M/s`]
    lines.push([name, `${ns.toFixed(1)} ns`, error, rate, `${result.samples} samples`])
  }
  return lines
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: 'boolean', default: false } },
})
const all = [...codecCases, ...storeCases, ...loaderCases, ...ringCases, ...accessorCases, ...insideCases]
const isChosen = ({ name }: MicroCase): boolean => positionals.some((word) => name.includes(word))
const chosen = positionals.length === 0 ? all : all.filter(isChosen)
if (chosen.length === 0) throw new Error(`no case has ${positionals.join(' or ')} in its name`)
const before = quiet()
const lines = await measure(chosen, values.smoke ? smokeSecondsPerCase : secondsPerCase)
console.log(tableText([['operation', 'median', 'error', 'rate', ''], ...lines]).join('\n'))
console.log(`  ${machineText(machine(), { before, after: quiet() })}`)
