/**
 * Every benchmark still runs, small, as its command runs it: compiled, in a process of its own. The hashes are the
 * state that the workloads end in: a change here is a change of what is measured, never of how fast.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import type { BenchRecord } from '../../bench/harness.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const timeoutMs = 120_000

const hashes: Readonly<Record<string, readonly string[]>> = {
  'transfer-fsync': ['2c73c14f'],
  'transfer-shares': [
    'e0ef22df 62986b5b 69b868e4 948ca826 2c73c14f 8403d6e9 40cb7586 e8cbfcd7 daf07090 18da4441 b66e54da 8a5ae7ff',
  ],
  'transfer-inline': ['5d76bfb0'],
  'submit-many': ['b66e54da'],
  'two-workers': ['d88340c6 e924fc4b 438fc6f0'],
  'scaling': ['510908'],
  'point-read': ['bb606538 bb606538'],
  'commit-to-subscriber': ['6853c521', '6853c521'],
  'live-stream': ['2c73c14f'],
  'catch-up': ['2c73c14f'],
  'many-subscribers': ['39b7ebc9'],
  'open': ['4d6d562b'],
  'open-memory': ['4d6d562b'],
  'replay': ['b66e54da'],
  'checkpoint-cost': ['2c73c14f'],
  'memory': ['4d6d562b'],
  'memory-flat': [],
  'pauses': [],
  'tpcc': ['231ee857 c7d352d7'],
  'start': ['f96cf2df'],
  'time-travel': ['8db5e3f5'],
  'rebuild-aggregate': ['100250'],
  'idle': ['3fc8c70c'],
}

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

function run(script: string, ...flags: string[]): Ended {
  expect(existsSync(`${root}dist/bench/${script}`), 'benchmarks run compiled: npm run build comes first').toBe(true)
  const command = [`dist/bench/${script}`, ...flags]
  const options = { cwd: root, encoding: 'utf8', timeout: timeoutMs } as const
  const { status, stdout, stderr } = spawnSync(process.execPath, command, options)
  return { status, out: stdout, error: stderr }
}

test.each(Object.keys(hashes))('%s runs in smoke mode and ends in the state its workload asks for', (name) => {
  const { status, out, error } = run('main.js', name, '--smoke', '--json')
  expect(error).toBe('')
  expect(status).toBe(0)
  const record = JSON.parse(out) as BenchRecord
  expect(record).toMatchObject({ bench: name, mode: 'smoke' })
  expect(record.figures.length).toBeGreaterThan(0)
  for (const figure of record.figures) expect(Number.isFinite(figure.median), figure.name).toBe(true)
  expect(Object.values(record.reports)).toEqual(hashes[name])
}, timeoutMs)

test('every benchmark that exists is in this table', () => {
  const { out } = run('main.js', '--list')
  expect(out.trim().split('\n').map((line) => line.split(' ')[0])).toEqual(Object.keys(hashes))
}, timeoutMs)

test('an unknown benchmark and an unknown parameter are refused by name', () => {
  const { status, error } = run('main.js', 'no-such')
  expect([status, error]).toEqual([2, expect.stringContaining('no benchmark no-such')])
  const unknown = run('main.js', 'idle', '--smoke', '--set', 'nothing=1')
  expect([unknown.status, unknown.error]).toEqual([1, expect.stringContaining('idle has no parameter "nothing"')])
}, timeoutMs)

test('every case of the micro suite runs', () => {
  const { status, out } = run('micro/main.js', '--smoke')
  expect(status).toBe(0)
  for (const name of ['encode an input', 'B+tree: scan', 'request ring', 'row(key)']) expect(out).toContain(name)
}, timeoutMs)
