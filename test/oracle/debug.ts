import { runOf, requestOf, program } from './twins.js'
import { Bench } from './bench.js'
import { watcher } from '../support/apps/stir-app.js'
import { canon } from '../support/canon.js'
export function debug(seed: number, batches: number, at: number) {
  const run = runOf(seed, batches)
  for (const mode of ['never', run.ahead] as const) {
    const b = new Bench(program, mode, seed)
    for (let n = 0; n <= at; n++) {
      if (n === at) { console.log('MODE', mode); watcher.saw = (s, a) => console.log('    ', s, '->', canon(a)) }
      const out = b.run(run.plan[n].map(requestOf))
      if (at === n) { watcher.saw = undefined; console.log(b.spoken(out.answers).map((x, i) => `${i} ${run.plan[n][i].at} ${x}`).join('\n'), b.counts) }
    }
    watcher.saw = undefined
  }
}
