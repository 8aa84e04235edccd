/**
 * The fault table again and again, with new seeds and growing counts, until the time is up.
 *
 *   npm run test:soak -- --minutes N [--write] [-t 'row 25']
 *
 * Each round is a run of vitest with a folder of records of its own; the last one is told when to stop. It ends with the report
 * of all rounds (`--write`: into docs/reliability.md), and with exit code 1 when anything failed: the seeds are in the output.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
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
