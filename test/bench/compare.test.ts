/**
 * The sections of `npm run bench:compare`, small: everybody who is installed ends in the state that the workload asks for, and who does
 * not is thrown out. Everywhere these are we and plain JavaScript; the other peers play where they are, in the sections
 * that show most of them, and are said to be skipped where they are not.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { contest as runContest, Entry, modules as contestModules, Standing } from '../../bench/contest/contest.js'
import type { Workload } from '../../bench/contest/contestant.js'
import { bench } from '../../bench/harness.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const timeoutMs = 120_000

interface Section {
  readonly id: string
  readonly kind: Workload['kind']
  readonly settings: object
  readonly entries: readonly Entry[]
}

// Compiled, as the command runs them: our workers load JavaScript.
const { contest, modules } = (await import(new URL('../../dist/bench/contest/contest.js', import.meta.url).href)) as {
  readonly contest: typeof runContest
  readonly modules: typeof contestModules
}
const { sections } = (await import(new URL('../../bench/compare/sections.mjs', import.meta.url).href)) as {
  sections(all: typeof modules, parameters: { number(name: string, smoke: number, real: number): number }): Section[]
}
const all = sections(modules, { number: (_name, smoke) => smoke })

async function play(section: Section, entries: readonly Entry[]): Promise<Standing[]> {
  let standings: Standing[] = []
  await bench('compare', { smoke: true }, async (b) => {
    standings = await contest(b, section.kind, section.settings as Parameters<typeof contest>[2], entries)
  })
  return standings
}

const everywhere = [modules.sluicedb, modules.plain] as readonly string[]
const workloads = all.filter(({ id }) => /^(tpcc|smallbank|transfer-durable|stream-rate|ycsb-(a-uniform|[a-f]-zipf|d))/.test(id))

test('every workload has its section', () => {
  const ids = workloads.map(({ id }) => id)
  expect(ids).toEqual([
    'transfer-durable', 'tpcc-neworder', 'tpcc-neworder-memory', 'tpcc-mix', 'tpcc-mix-memory', 'smallbank', 'smallbank-hotspot',
    'ycsb-a-uniform', 'ycsb-a-zipf', 'ycsb-b-zipf', 'ycsb-c-zipf', 'ycsb-d', 'ycsb-e-zipf', 'ycsb-f-zipf', 'stream-rate',
  ])
})

describe('we and plain JavaScript end in the state of the workload', () => {
  test.each(workloads.map((section) => [section.id, section] as const))('%s', async (_id, section) => {
    const [first] = section.entries
    const entries = section.entries.filter((entry) => entry === first || entry.module === modules.plain)
    const standings = await play(section, entries)
    expect(standings.map(({ skipped }) => skipped)).toEqual(entries.map(() => undefined))
    expect(standings.every(({ digest, rates }) => digest !== undefined && rates.length === 1)).toBe(true)
  }, timeoutMs)
})

describe('who leaves out one operation is thrown out', () => {
  const module = new URL('./fixtures/cheats.mjs', import.meta.url).href
  const kinds = ['transfer-durable', 'tpcc-neworder', 'smallbank', 'ycsb-c-zipf', 'ycsb-f-zipf']
  test.each(kinds)('%s', async (id) => {
    const section = all.find((one) => one.id === id) as Section
    const cheat = { name: 'a cheat', module, contestant: section.kind, count: 200 }
    await expect(play(section, [cheat])).rejects.toThrow(/a cheat ended with .* the workload asks for/)
  }, timeoutMs)
})

describe('the other peers end there, too, or are skipped', () => {
  const shown = ['transfer-durable', 'smallbank', 'tpcc-neworder', 'tpcc-mix', 'ycsb-a-zipf', 'ycsb-e-zipf', 'ycsb-f-zipf', 'stream-latency', 'stream-rate']
  test.each(shown)('%s', async (id) => {
    const section = all.find((one) => one.id === id) as Section
    const others = section.entries.filter(({ module }) => !everywhere.includes(module))
    const first = others.filter(({ module }, place) => others.findIndex((other) => other.module === module) === place)
    const standings = await play(section, first)
    for (const { name, skipped, digest } of standings) {
      const isDone = digest !== undefined
      expect(isDone || skipped !== undefined, `${name} neither played nor was skipped`).toBe(true)
      if (skipped !== undefined) expect(skipped, name).toMatch(/not installed|Cannot find package/)
    }
  }, timeoutMs)
})

test('the command writes a table, JSON and a page with a bar for each contestant', () => {
  const command = ['bench/compare/run.mjs', '--smoke', '--no-install', 'smallbank-hotspot']
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8', timeout: timeoutMs })
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain('median (min–max)')
  expect(existsSync(`${root}bench/results/compare-smoke.json`)).toBe(true)
  const page = readFileSync(`${root}bench/results/compare-smoke.html`, 'utf8')
  const { entries } = all.find(({ id }) => id === 'smallbank-hotspot') as Section
  for (const { name } of entries) expect(page).toContain(name)
  const bars = page.match(/<rect /g)?.length ?? 0
  const skipped = page.match(/skipped: not installed/g)?.length ?? 0
  expect(bars + skipped).toBe(entries.length)
  expect(page.match(/class="range"/g)?.length).toBe(bars)
}, timeoutMs)

test('a section that does not exist is refused by name', () => {
  const command = ['bench/compare/run.mjs', '--smoke', '--no-install', 'no-such']
  const { status, stderr } = spawnSync(process.execPath, command, { cwd: root, encoding: 'utf8', timeout: timeoutMs })
  expect(status).toBe(1)
  expect(stderr).toContain('no section no-such; there are transfer-durable')
}, timeoutMs)
