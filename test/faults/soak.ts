/**
 * The fault table again and again, with new seeds and growing counts, until the time is up.
 *
 *   npm run test:soak -- --minutes N [--write] [-t 'row 25']
 *   npm run test:soak -- --minutes N --flags
 *
 * With `--flags` it is not the fault table but the suites that run on real threads, under another set of V8's flags in each round
 * (test/support/v8-flags.ts), with new seeds; it ends with how each set came off.
 *
 * Each round is a run of vitest with a folder of records of its own; the last one is told when to stop. It ends with the report
 * of all rounds (`--write`: into docs/reliability.md), and with exit code 1 when anything failed: the seeds are in the output.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { flagSets } from '../support/v8-flags.js'
import { pageOf, pagePath, readRecords } from './report.js'

const words = process.argv.slice(2)
const valueOf = (name: string): string | undefined => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined)
const minutes = Number(valueOf('--minutes') ?? 10)
const pattern = valueOf('-t')
if (!(minutes > 0)) throw new Error('--minutes is a number above 0')

const repository = fileURLToPath(new URL('../..', import.meta.url))
const vitest = join(repository, 'node_modules', 'vitest', 'vitest.mjs')
const untilMs = Date.now() + minutes * 60_000
const folders: string[] = []
let hasFailed = false

/** Suites of real threads. */
const threaded = ['test/model/workers.test.ts', 'test/model/history.test.ts', 'test/crash', 'test/engine/sequencer', 'test/contract/lost-workers.test.ts', 'test/contract/stream.test.ts']

if (words.includes('--flags')) soakFlags()
else soakFaults()

function soakFlags(): void {
  const outcomes: string[] = []
  for (let round = 0; Date.now() < untilMs; round += 1) {
    const flags = flagSets[round % flagSets.length]!.join(' ')
    console.log(`round ${round + 1}: ${flags}`)
    const run = spawnSync(process.execPath, [vitest, 'run', '--no-file-parallelism', '--testTimeout=600000', ...threaded, ...(pattern === undefined ? [] : ['-t', pattern])], {
      cwd: repository,
      stdio: 'inherit',
      env: { ...process.env, SLUICE_V8_FLAGS: flags },
    })
    if (run.status !== 0) hasFailed = true
    outcomes.push(`${run.status === 0 ? 'passed' : 'FAILED'}  ${flags}`)
  }
  console.log(outcomes.join('\n'))
  process.exitCode = hasFailed ? 1 : 0
}

function soakFaults(): void {
  for (let round = 0; Date.now() < untilMs; round += 1) {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-soak-'))
    folders.push(folder)
    const times = 2 ** Math.min(round, 12)
    console.log(`round ${round + 1}, ${times} times the counts, records in ${folder}`)
    const run = spawnSync(process.execPath, [vitest, 'run', '-c', 'vitest.faults.config.ts', ...(pattern === undefined ? [] : ['-t', pattern])], {
      cwd: repository,
      stdio: 'inherit',
      env: { ...process.env, SLUICE_FAULTS_DIR: folder, SLUICE_FAULTS_TIMES: String(times), SLUICE_FAULTS_UNTIL: String(untilMs) },
    })
    if (run.status !== 0) hasFailed = true
  }

  const page = pageOf(readRecords(folders))
  if (words.includes('--write')) writeFileSync(pagePath, page)
  else console.log(page)
  process.exitCode = hasFailed ? 1 : 0
}
