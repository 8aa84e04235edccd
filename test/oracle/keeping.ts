/**
 * Runs ahead that must be kept: they do not disturb each other, and a speculation that finds them stale is right and slow. For each case,
 * calls of one batch that all stay as they ran, beginning with the second one.
 */
import type { Program } from '../../engine/schema/descriptor.js'
import modelApp from '../support/apps/model-app.js'
import type { Script } from '../support/apps/script.js'
import { Bench } from './bench.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!
const run = program.procedures.findIndex(({ descriptor }) => descriptor.name === 'main.run')

const pairs: Script = Array.from({ length: 8 }, (_, day) => ({ op: 'put', table: 'pair', row: { place: 'a', day, rank: day, title: 't', score: 5 } }) as const)
const thing = { id: 1, flag: true, small: 5, wide: 1, whole: 1, real: 1, big: 1n, name: 'ann', blob: Uint8Array.of(1), data: 1, at: 1, ref: '7b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11', mood: 'calm' }
const laid: Script = [...pairs, { op: 'put', table: 'thing', row: thing }, { op: 'put', table: 'tally', row: { place: 'a', count: 1 } }]

/** Each script is one call. */
const cases: Readonly<Record<string, readonly Script[]>> = {
  'adds to one counter': Array.from({ length: 5 }, (_, n): Script => [{ op: 'add', table: 'pair', key: ['a', 1], deltas: { score: n + 1 } }]),
  'different columns of a row': [
    [{ op: 'update', table: 'thing', key: 1, patch: { whole: 7 } }],
    [{ op: 'update', table: 'thing', key: 1, patch: { real: 7 } }],
    [{ op: 'update', table: 'thing', key: 1, patch: { smallN: null } }],
    [{ op: 'has', table: 'thing', key: 1 }, { op: 'update', table: 'thing', key: 1, patch: { nameN: 'x' } }],
  ],
  'one takes from the front of a range, one looks at its end': [
    [{ op: 'clear', table: 'pair', range: { prefix: ['a'], limit: 2 } }],
    [{ op: 'scan', table: 'pair', range: { prefix: ['a'], reverse: true, limit: 2 } }],
  ],
  'one adds behind what another one has looked at': [
    [{ op: 'put', table: 'pair', row: { place: 'a', day: 9, rank: 1, title: 'u', score: 1 } }],
    [{ op: 'scan', table: 'pair', range: { prefix: ['a'], limit: 3 } }],
    [{ op: 'scan', table: 'pair', range: { from: ['a', 2], to: ['a', 9] } }],
  ],
  'different keys, there or not': [
    [{ op: 'put', table: 'tally', row: { place: 'x', count: 1 } }],
    [{ op: 'has', table: 'tally', key: 'y' }, { op: 'put', table: 'tally', row: { place: 'z', count: 1 } }],
    [{ op: 'get', table: 'tally', key: 'a' }],
  ],
  'a column that was set to what it held': [
    [{ op: 'update', table: 'tally', key: 'a', patch: { count: 1 } }],
    [{ op: 'get', table: 'tally', key: 'a' }],
  ],
  'nothing of the batch before': [[{ op: 'get', table: 'pair', key: ['a', 1] }], [{ op: 'scan', table: 'pair', range: { prefix: ['a'] } }]],
}

/** The first case that is not kept, or undefined. */
export function keptOrNot(): string | undefined {
  for (const [name, calls] of Object.entries(cases)) {
    const bench = new Bench(program, 2, 1)
    const say = (scripts: readonly Script[]): void => void bench.run(scripts.map((script) => ({ procedure: run, input: { script }, id: undefined, at: undefined })))
    say([laid])
    // All rows, read and written in order: a batch that remembers the one before finds everything stale.
    say([[{ op: 'sweep', table: 'pair', range: {}, column: 'score', by: 1, drop: null }]])
    say(calls)
    const { kept, stale, given } = bench.counts!
    bench.end()
    if (kept !== calls.length) return `${name}: ${kept} of ${calls.length} were kept, ${stale} were stale, ${given} given up`
  }
  return undefined
}
