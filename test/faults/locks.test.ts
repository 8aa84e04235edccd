/** Row 33: two processes and one directory. The processes are real, and so are the locks they leave behind. */
import { open, SluiceError } from 'sluicedb'
import { fileURLToPath } from 'node:url'
import { describe } from 'vitest'
import { finish, start } from '../support/child.js'
import { newFolder } from '../support/fixture.js'
import { faultRow } from './row.js'
import application, { count } from './apps/storm-app.mjs'

const holder = fileURLToPath(new URL('./apps/holder.mjs', import.meta.url))
const memory = { bytes: 2 ** 25 }

describe('one holder per directory', () => {
  faultRow(
    33,
    {
      title: 'two processes open one directory',
      injected: 'three processes race for it; a second one comes while the first holds it, in another process and in the same; the holder is killed with SIGKILL and leaves its lock; the same process then opens it, or another one does',
      invariant: 'never two holders; the second is DATABASE_LOCKED; a lock whose holder is dead, or has closed, holds nobody up; every acknowledged call is there',
      pr: 10,
      nightly: 200,
    },
    async (run) => {
      let slowestMs = 0
      let nobody = 0
      for (const index of run.cases()) {
        const random = run.chance
        const path = await newFolder()
        const workers = String(index % 2)
        // Several at once: one gets it, or none, which then may try again.
        const racers = Array.from({ length: 3 }, () => start([holder, path, workers]))
        const said = await Promise.all(racers.map((it) => it.line(/^(open|refused)/)))
        const winners = said.filter((it) => it.startsWith('open'))
        if (winners.length > 1) throw new Error(`${winners.length} processes hold ${path}`)
        if (winners.length === 0) nobody += 1
        for (const line of said) if (line.startsWith('refused') && line !== 'refused DATABASE_LOCKED') throw new Error(line)
        const first = racers.find((_, n) => said[n]!.startsWith('open')) ?? start([holder, path, workers])
        for (const racer of racers) if (racer !== first) await racer.ended
        await first.line(/^open/)
        await first.line(/^ack 3$/)
        // While it is held: nobody else, in any process, however often.
        for (let n = 0; n < 3; n += 1) mustBe(await open(application, { path, memory }).then(() => 'opened', codeOf), 'DATABASE_LOCKED')
        const second = await finish([holder, path, workers])
        if (!/^refused DATABASE_LOCKED$/m.test(second.text)) throw new Error(`a second process said ${second.text}`)
        const acknowledged = (): number => Math.max(...first.lines.map((line) => Number(/^ack (\d+)$/.exec(line)?.[1] ?? 0)))
        if (random.chance(0.75)) {
          await new Promise((resolve) => setTimeout(resolve, random.below(10)))
          first.process.kill('SIGKILL')
        } else first.process.stdin!.write('close\n')
        await first.ended
        const startedMs = performance.now()
        if (index % 2 === 0) {
          const db = await open(application, { path, memory })
          const n = await db.call(count, { id: 'x' })
          if (n <= acknowledged()) throw new Error(`${acknowledged()} calls were acknowledged, and the next one is number ${n}`)
          mustBe(await open(application, { path, memory }).then(() => 'opened', codeOf), 'DATABASE_LOCKED')
          await db.close()
        } else {
          const third = await finish([holder, path, workers, 'once'])
          if (!/^open/m.test(third.text)) throw new Error(`after the end of its holder a process was told ${third.text}\n${third.errors}`)
        }
        slowestMs = Math.max(slowestMs, performance.now() - startedMs)
        const again = await open(application, { path, memory })
        await again.close()
      }
      run.figure('slowest opening after a dead holder, with the start of its process', Math.round(slowestMs), 'ms')
      run.figure('races that nobody won', nobody)
    },
  )
})

const codeOf = (error: unknown): string => (SluiceError.is(error) ? error.code : String(error))
function mustBe(found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`expected ${wanted}, got ${found}`)
}
