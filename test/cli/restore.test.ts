/** `sluice restore`: every moment of a small log, as a database that opens and holds what the model held then. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import bankApp, { deposit } from '../support/apps/bank-app.js'
import { newFolder, openOnce } from '../support/fixture.js'
import { damage, makeBank, partsOf, sluice, sluiceJson, stateIn, stateOf } from './sluice.js'

describe('every position', () => {
  test.each([{ checkpointEvery: Infinity, workers: 0 }, { checkpointEvery: 3, workers: 0 }, { checkpointEvery: 4, workers: 2 }])(
    'of a log with a checkpoint after $checkpointEvery, workers $workers, gives the state of the model there',
    { timeout: 120_000 },
    async (options) => {
      const { path, steps } = await makeBank({ accounts: 5, deposits: 7, ...options })
      const folder = await newFolder()
      for (const [n, { position, state }] of steps.entries()) {
        const target = join(folder, `at-${n}`)
        const report = await sluiceJson('restore', path, target, '--to', position)
        expect(report).toMatchObject({ path: target, position })
        expect(await stateIn(target), position).toBe(state)
        expect((await sluice('verify', target)).code).toBe(0)
      }
    },
  )
})

test('a time gives the last commit at or before it, and no moment the newest', async () => {
  const { path, steps } = await makeBank()
  const folder = await newFolder()
  const commits = (await sluice('log', path, '--json')).lines.map((line) => JSON.parse(line) as { position: string; time: string })
  const middle = commits[5]!
  const wanted = commits.filter((one) => one.time <= middle.time).at(-1)!
  const report = await sluiceJson('restore', path, join(folder, 'then'), '--to', middle.time)
  expect(report).toMatchObject({ position: wanted.position, time: wanted.time })
  expect(await stateIn(join(folder, 'then'))).toBe(steps.find((step) => step.position === wanted.position)!.state)
  expect((await sluice('restore', path, join(folder, 'now'))).code).toBe(0)
  expect(await stateIn(join(folder, 'now'))).toBe(steps.at(-1)!.state)
})

test('what was restored lives on: it commits, closes, opens and is whole', async () => {
  const { path, steps } = await makeBank({ deposits: 6, checkpointEvery: 2 })
  const target = join(await newFolder(), 'again')
  await sluice('restore', path, target, '--to', steps[8]!.position)
  const db = await openOnce(bankApp, { path: target, durability: 'os' })
  // A call that the original had taken before that moment is remembered; one behind it is not.
  const repeat = await db.submit(deposit, { to: 'a0', amount: 1, n: 0, filler: '' }, { id: 'order-0' })
  expect(repeat.repeated).toBe(true)
  await db.call(deposit, { to: 'a1', amount: 77, n: 500 })
  const state = stateOf(db)
  await db.close()
  expect(await stateIn(target)).toBe(state)
  expect(await sluice('verify', target)).toMatchObject({ code: 0, err: '' })
})

describe('refusals', () => {
  test('a target with anything in it, and one that cannot be made', async () => {
    const { path } = await makeBank()
    const full = await newFolder()
    writeFileSync(join(full, 'mine.txt'), 'mine')
    const { code, err } = await sluice('restore', path, full)
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining('not empty') })
    expect(readdirSync(full)).toEqual(['mine.txt'])
    expect((await sluice('restore', path, join(full, 'mine.txt', 'below'))).err).toContain('cannot be made')
    const empty = join(full, 'empty')
    mkdirSync(empty)
    expect((await sluice('restore', path, empty)).code).toBe(0)
  })

  test('a position that was never reached, and a time before everything, which names the oldest', async () => {
    const { path, steps } = await makeBank()
    const target = join(await newFolder(), 'new')
    const later = await sluice('restore', path, target, '--to', '00000000ffffffff-00000000')
    expect(later.err).toContain('has not reached that position')
    const before = await sluice('restore', path, target, '--to', '2001-01-01')
    expect({ code: before.code, err: before.err }).toEqual({ code: 1, err: expect.stringContaining('HISTORY_GONE') })
    expect(before.err).toContain(`batch ${Number.parseInt(steps[0]!.position.slice(0, 16), 16)}`)
    expect(() => readdirSync(target)).toThrow()
  })

  test('a moment behind damage; one before it is given', async () => {
    const { path, steps } = await makeBank()
    const frames = (await partsOf(path)).filter((part) => part.kind === 'frame')
    damage(path, 'log/0000000001.slog', frames[6]!.offset + 200)
    const folder = await newFolder()
    const behind = await sluice('restore', path, join(folder, 'behind'), '--to', steps[9]!.position)
    expect({ code: behind.code, err: behind.err }).toEqual({ code: 1, err: expect.stringContaining('LOG_CORRUPT') })
    expect((await sluice('restore', path, join(folder, 'newest'))).err).toContain('LOG_CORRUPT')
    expect((await sluice('restore', path, join(folder, 'before'), '--to', steps[4]!.position)).code).toBe(0)
    expect(await stateIn(join(folder, 'before'))).toBe(steps[4]!.state)
  })
})

test('without its older segments a database goes back to its checkpoints and no further', { timeout: 60_000 }, async () => {
  const path = join(await newFolder(), 'long')
  const db = await openOnce(bankApp, { path, durability: 'os' })
  const { openAccount } = await import('../support/apps/bank-app.js')
  await db.call(openAccount, { id: 'a', balance: 0 })
  // The first segment has 4 MiB, so some of them pass.
  for (let n = 0; n < 200; n += 1) await db.call(deposit, { to: 'a', amount: 1, n, filler: 'x'.repeat(40_000) })
  const state = stateOf(db)
  const { position } = await db.checkpoint()
  await db.call(deposit, { to: 'a', amount: 1, n: 1_000 })
  const end = stateOf(db)
  await db.checkpoint()
  await db.close()
  const first = JSON.parse((await sluice('log', path, '--json', '--limit', '1')).out).position as string
  rmSync(join(path, 'log/0000000001.slog'))
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, log: { after: expect.any(Number) } })
  const folder = await newFolder()
  expect((await sluice('restore', path, join(folder, 'end'))).code).toBe(0)
  expect(await stateIn(join(folder, 'end'))).toBe(end)
  expect(await sluice('restore', path, join(folder, 'checkpoint'), '--to', position)).toMatchObject({ code: 0, err: '' })
  expect(await stateIn(join(folder, 'checkpoint'))).toBe(state)
  const gone = await sluice('restore', path, join(folder, 'first'), '--to', first)
  expect({ code: gone.code, err: gone.err }).toEqual({ code: 1, err: expect.stringContaining('HISTORY_GONE') })
  expect(gone.err).toContain(`batch ${Number.parseInt(position.slice(0, 16), 16)}`)
})
