/**
 * The inside cases by processor time, which neighbours on the machine disturb less than the clock, and for profiles:
 *
 *   node dist/bench/micro/inside.js                          all of them
 *   node --cpu-prof dist/bench/micro/inside.js payment       one, with a profile
 *   node dist/bench/micro/inside.js transfer 100             so many thousands of transactions in a round
 */
import { spread } from '../statistics.js'
import { insideCases } from './inside-cases.js'
import { operationsPerRun } from './micro-case.js'

const rounds = 5
const nsPerUs = 1_000

const [word = '', thousands = '20'] = process.argv.slice(2)
for (const { name, prepare } of insideCases) {
  if (!name.includes(word)) continue
  const run = await prepare()
  const samples: number[] = []
  for (let round = -1; round < rounds; round += 1) {
    const before = process.cpuUsage()
    for (let n = 0; n < Number(thousands); n += 1) run()
    const { user, system } = process.cpuUsage(before)
    if (round >= 0) samples.push(((user + system) * nsPerUs) / (Number(thousands) * operationsPerRun))
  }
  const { median, min, max } = spread(samples)
  console.log(`${name.padEnd(52)} ${median.toFixed(0).padStart(7)} ns  (${min.toFixed(0)}–${max.toFixed(0)})`)
}
