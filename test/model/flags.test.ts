/**
 * A short run on real threads under flags of V8 (../support/v8-flags.ts): some of the sets with every `npm test`, and all of them, with whole suites
 * of real threads, by `npm run test:soak -- --flags`.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { packageRoot, startCompiled } from '../support/child.js'
import { anomalies, type Observed } from '../support/history.js'
import { randomOf, seeds } from '../support/random.js'
import { flagSets } from '../support/v8-flags.js'

const child = fileURLToPath(new URL('./flags-child.ts', import.meta.url))
const calls = 300

test('Node knows every flag', { timeout: 120_000 }, () => {
  const { status, stderr } = spawnSync(process.execPath, [...new Set(flagSets.flat()), '--version'], { cwd: packageRoot, encoding: 'utf8' })
  expect(status, stderr).toBe(0)
})

test.each(seeds(2))('a history on two threads has no anomaly under them, seed %i', { timeout: 180_000 }, async (seed) => {
  const flags = randomOf(seed).pick(flagSets)
  const program = startCompiled(child, [calls], { flags })
  const line = await program.line(/^history/, 150_000)
  const history = JSON.parse(line.slice('history '.length)) as Observed[]
  expect(history.length, flags.join(' ')).toBe(calls)
  expect(anomalies(history), flags.join(' ')).toEqual([])
  expect((await program.ended).code).toBe(0)
})
