/** The rules of the restarts: who is opened, in which process, and what is printed of it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bench } from '../../bench/harness.js'
import { memoryOf } from '../../bench/recovery/process-memory.js'
import { restarterModules, restarts, type RestartEntry, type RestartStanding } from '../../bench/recovery/restarts.js'
import { loadDigest } from '../../bench/workloads/row-plan.js'

const rows = 40
const module = new URL('./fixtures/restarters.mjs', import.meta.url).href
const timeoutMs = 60_000
const entry = (restarter: string, rest: Partial<RestartEntry> = {}): RestartEntry =>
  ({ name: restarter, module, restarter, workload: { kind: 'load', settings: { rows, reads: 0 } }, count: rows, ...rest })

async function run(entries: readonly RestartEntry[], rounds: { warmups?: number; repetitions?: number } = {}) {
  let standings: RestartStanding[] = []
  let directories: string[] = []
  const record = await bench('restarts', { smoke: true }, async (b) => {
    const directory = (): string => {
      const made = b.directory()
      directories = [...directories, made]
      return made
    }
    standings = await restarts({ ...b, directory }, entries, { warmups: 0, repetitions: 1, coldRepetitions: 0, ...rounds })
  })
  return { standings, record, directories }
}

test('every opening has a process of its own, in turns, after warm-ups that nobody sees', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'restarts-'))
  const diary = join(directory, 'diary')
  const entries = ['a', 'b'].map((name) => entry('keeping', { name, options: { name, diary } }))
  const { standings } = await run(entries, { warmups: 1, repetitions: 2 })
  const lines = readFileSync(diary, 'utf8').trim().split('\n').map((line) => line.split(' '))
  rmSync(directory, { recursive: true })
  expect(lines.map(([name]) => name).join('')).toBe('abbaab')
  expect(new Set(lines.map(([, pid]) => pid)).size).toBe(6)
  for (const { ms, digest } of standings) {
    expect(ms).toHaveLength(2)
    expect(ms.every((one) => one > 0 && Number.isFinite(one))).toBe(true)
    expect(digest).toBe(loadDigest(rows))
  }
}, timeoutMs)

test('who comes back with other rows than the workload asks for is thrown out', async () => {
  await expect(run([entry('keeping'), entry('forgetful')])).rejects.toThrow(/forgetful came back with .* workload asks for/)
}, timeoutMs)

test('who fails or dies is named, with what it was doing', async () => {
  await expect(run([entry('failing')])).rejects.toThrow(/failing, at "prepare": .*the disk is full/s)
  await expect(run([entry('dying')])).rejects.toThrow(/dying, at "reopen": its process ended \(7\)/)
}, timeoutMs)

test('a peer that is not installed is skipped, and so is who opens what it would have prepared', async () => {
  const nowhere = new URL('./fixtures/not-there.mjs', import.meta.url).href
  const absent = entry('keeping', { name: 'absent', module: nowhere })
  const { standings, record } = await run([absent, entry('keeping', { name: 'guest', opens: 'absent' }), entry('keeping')])
  expect(standings.map(({ name, ms }) => [name, ms.length])).toEqual([['absent', 0], ['guest', 0], ['keeping', 1]])
  expect(record.notes.join()).toMatch(/absent skipped: .*guest skipped: /)
}, timeoutMs)

test('an entry may open the database of another one, and must name one that is there', async () => {
  const { directories } = await run([entry('keeping', { name: 'host' }), entry('keeping', { name: 'guest', opens: 'host' })])
  expect(directories).toHaveLength(1)
  await expect(run([entry('keeping', { opens: 'nobody' })])).rejects.toThrow('no "nobody"')
}, timeoutMs)

test('the peak is that of the opening, and what is open is counted after a collection', async () => {
  expect(existsSync('/proc/self/status'), 'peaks are read from /proc').toBe(true)
  const { standings } = await run([entry('keeping'), entry('wasteful')])
  const [keeping, wasteful] = standings.map(({ memory }) => memory[0]!)
  expect(wasteful!.peakBytes - wasteful!.openBytes).toBeGreaterThan(190e6)
  expect(keeping!.peakBytes - keeping!.openBytes).toBeLessThan(20e6)
  for (const { beforeBytes, openBytes, peakBytes } of [keeping!, wasteful!]) {
    expect(beforeBytes).toBeGreaterThan(10e6)
    expect(peakBytes).toBeGreaterThanOrEqual(openBytes)
  }
  expect(memoryOf(2 ** 30), 'a process that does not exist').toBeUndefined()
}, timeoutMs)

test('a server that a peer started ends with it', async () => {
  const { directories } = await run([entry('rows', { name: 'Redis', module: restarterModules.redis }), entry('keeping')])
  const inOurs = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && directories.includes(workingDirectoryOf(pid)))
  expect(inOurs).toEqual([])
}, timeoutMs)

function workingDirectoryOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '')
  } catch {
    return '' // it has ended meanwhile, or is not ours to look at
  }
}
