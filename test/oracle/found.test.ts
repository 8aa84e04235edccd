/**
 * What the serial oracle found, told and made to happen without it. Each test begins with the story.
 */
import { expect, test } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import modelApp from '../support/apps/model-app.js'
import type { Script } from '../support/apps/script.js'
import { Bench, type Ahead, type Request } from './bench.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const run = program.procedures.findIndex(({ descriptor }) => descriptor.name === 'main.run')
const called = (script: Script): Request => ({ procedure: run, input: { script }, id: undefined, at: undefined })

/** Runs the batches ahead and in order, and answers what was said, the same each time. */
function mustAgree(batches: readonly (readonly Script[])[]): string[][] {
  const modes: readonly Ahead[] = ['never', 'inline', 2]
  const runs = modes.map((ahead) => {
    const bench = new Bench(program, ahead, 1)
    const outcomes = batches.map((scripts) => bench.run(scripts.map(called)))
    const answers = outcomes.map((outcome) => bench.spoken(outcome.answers))
    bench.check()
    bench.end()
    return { answers, frames: outcomes.map(({ frame }) => frame && Buffer.from(frame).toString('hex')) }
  })
  for (const one of runs) expect(one).toEqual(runs[0])
  return runs[0]!.answers
}

// Seed 3 of the first day. A call inserts a row and aborts: the row stays, as a deleted one (R14). The next call revives that row,
// which was noted as the row that it is; and a third one had read, ahead of its turn, that the key has none. It was not stale.
test('an insert where another one of the lane was undone is seen by a run that had found no row', () => {
  const put: Script = [{ op: 'put', table: 'tally', row: { place: 'a', count: 1 } }]
  const [answers] = mustAgree([[[...put, { op: 'abort', reason: 'UNWANTED', details: {} }], put, [{ op: 'has', table: 'tally', key: 'a' }]]])
  expect(answers![2]).toContain('ok [true]')
})
