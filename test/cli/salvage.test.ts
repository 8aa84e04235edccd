/** `sluice salvage`: what can still be read after damage, what is lost, and a database made of the rest. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { newFolder } from '../support/fixture.js'
import { seeds, withSeed } from '../support/random.js'
import { copyOf, damage, filesIn, makeBank, partsOf, sluice, sluiceJson, stateIn, type MadeBank } from './sluice.js'

const log1 = 'log/0000000001.slog'
const batchOf = (position: string): number => Number.parseInt(position.slice(0, 16), 16)
const framesIn = async (path: string) => (await partsOf(path)).filter((part) => part.kind === 'frame')

/** The state of the model at the newest commit that is not above a batch. */
const stateAt = ({ steps }: MadeBank, batch: number): string => steps.findLast((step) => batchOf(step.position) <= batch)!.state

test('a whole database: nothing is damaged, nothing is lost', async () => {
  const made = await makeBank()
  const { code, out } = await sluice('salvage', made.path)
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('Nothing is damaged.') })
  expect(await sluiceJson('salvage', made.path)).toMatchObject({ isWhole: true, losses: [] })
})

describe('damage in the middle of the log', () => {
  test('without a checkpoint: the state before it, what is gone, and what is readable behind it', async () => {
    const made = await makeBank()
    const frames = await framesIn(made.path)
    const commits = (await sluice('log', made.path, '--json')).lines
    damage(made.path, log1, frames[7]!.offset + 250)
    const before = filesIn(made.path)

    const report = await sluiceJson('salvage', made.path)
    expect(report).toMatchObject({ isWhole: false, state: { batch: frames[6]!.batch, from: 'the log' } })
    expect(report.losses).toMatchObject([
      { kind: 'gone', after: frames[6]!.batch, upTo: frames[7]!.batch, isInState: false },
      { kind: 'detached', upTo: frames.at(-1)!.batch, frames: frames.length - 8, file: log1, offset: frames[8]!.offset },
    ])
    const text = await sluice('salvage', made.path)
    expect(text.code).toBe(1)
    expect(text.out).toContain(`lost: batches above ${frames[6]!.batch} up to ${frames[7]!.batch}`)

    const detached = await sluice('salvage', made.path, '--detached', '--json')
    expect(detached.lines).toEqual(commits.slice(8))

    const target = join(await newFolder(), 'saved')
    expect((await sluice('salvage', made.path, '--to', target)).code).toBe(1)
    expect(await stateIn(target)).toBe(stateAt(made, frames[6]!.batch))
    expect((await sluice('verify', target)).code).toBe(0)
    expect(filesIn(made.path)).toEqual(before)
  })

  test('rows of a table come out as JSON lines', async () => {
    const made = await makeBank()
    const frames = await framesIn(made.path)
    damage(made.path, log1, frames[7]!.offset + 250)
    const { code, lines, err } = await sluice('salvage', made.path, '--rows', 'bank.account')
    expect(code).toBe(1)
    expect(err).toContain('lost')
    const { accounts } = JSON.parse(stateAt(made, frames[6]!.batch)) as { accounts: { id: string }[] }
    const byId = (rows: { id: string }[]) => [...rows].sort((a, b) => a.id.localeCompare(b.id))
    expect(byId(lines.map((line) => JSON.parse(line)))).toEqual(byId(accounts))
    expect((await sluice('salvage', made.path, '--rows', 'bank.acount')).err).toContain('did you mean "bank.account"?')
  })

  test('behind a whole checkpoint nothing is lost but history: the frames behind the damage follow the checkpoint', async () => {
    const made = await makeBank({ accounts: 5, deposits: 6, checkpointEvery: 6 })
    const frames = await framesIn(made.path)
    damage(made.path, log1, frames[3]!.offset + 250)
    const report = await sluiceJson('salvage', made.path)
    expect(report).toMatchObject({ isWhole: false, state: { batch: frames.at(-1)!.batch, from: 'checkpoint/a.mdb' } })
    expect(report.losses.every((loss: any) => loss.isInState)).toBe(true)
    const target = join(await newFolder(), 'saved')
    expect((await sluice('salvage', made.path, '--to', target)).code).toBe(0)
    expect(await stateIn(target)).toBe(made.steps.at(-1)!.state)
    expect(await sluice('verify', target)).toMatchObject({ code: 0, err: '' })
  })

  test('two damages: the checkpoint, and the frames up to the second one', async () => {
    const made = await makeBank({ accounts: 5, deposits: 6, checkpointEvery: 6 })
    const frames = await framesIn(made.path)
    damage(made.path, log1, frames[3]!.offset + 250)
    damage(made.path, log1, frames[13]!.offset + 250)
    const target = join(await newFolder(), 'saved')
    const report = await sluiceJson('salvage', made.path, '--to', target)
    expect(report.state.batch).toBe(frames[12]!.batch)
    expect(report.losses.filter((loss: any) => !loss.isInState).map((loss: any) => [loss.kind, loss.upTo])).toEqual([
      ['gone', frames[13]!.batch],
      ...(frames.length > 14 ? [['detached', frames.at(-1)!.batch]] : []),
    ])
    expect(await stateIn(target)).toBe(stateAt(made, frames[12]!.batch))
  })
})

test('a log that is gone altogether, beside a checkpoint: the checkpoint is the state', async () => {
  const made = await makeBank({ accounts: 5, deposits: 6, checkpointEvery: 3 })
  for (const part of new Set((await partsOf(made.path)).map((one) => one.segment))) rmSync(join(made.path, `log/${String(part).padStart(10, '0')}.slog`))
  const target = join(await newFolder(), 'saved')
  const report = await sluiceJson('salvage', made.path, '--to', target)
  const batch = batchOf(made.steps[10]!.position)
  expect(report).toMatchObject({ isWhole: false, state: { batch } })
  expect(await stateIn(target)).toBe(made.steps[10]!.state)
})

test('nothing readable at all is said, and is no database', async () => {
  const made = await makeBank()
  damage(made.path, log1, 10)
  const { code, out } = await sluice('salvage', made.path)
  expect({ code, out }).toEqual({ code: 1, out: expect.stringContaining('nothing can be read') })
  const { err } = await sluice('salvage', made.path, '--to', join(await newFolder(), 'saved'))
  expect(err).toContain('LOG_CORRUPT')
})

/**
 * The promise of all tools: whatever bytes are, they end with an exit code and a sentence. What they call whole opens and holds
 * what was there; what they salvage is a state that the model had.
 */
describe('any damaged byte', () => {
  test.each(seeds(2))('seed %i', { timeout: 240_000 }, async (seed) => {
    await withSeed(seed, async (random) => {
      const made = await makeBank({ accounts: 5, deposits: 6, checkpointEvery: 3 })
      const states = new Set(made.steps.map((step) => step.state))
      const parts = await partsOf(made.path)
      const end = parts.at(-1)!.offset + parts.at(-1)!.bytes
      const places: readonly (readonly [string, number])[] = [
        [log1, 128], [log1, 4_096 + 1_000], [log1, end], [log1, end + 500], ['checkpoint/a.manifest', 512], ['checkpoint/b.manifest', 512],
        ['checkpoint/a.mdb', 20_000], ['checkpoint/b.mdb', 20_000],
      ]
      for (const [file, below] of places) {
        const copy = await copyOf(made.path)
        const at = random.below(below)
        const to = random.pick([0, 255, 1 + random.below(254)])
        damage(copy, file, at, () => to)
        const place = `${file} byte ${at} := ${to}`
        for (const args of [['verify'], ['log'], ['log', '--frames'], ['info'], ['salvage'], ['salvage', '--detached']]) {
          const { code, err, out } = await sluice(args[0]!, copy, ...args.slice(1))
          expect([0, 1], `${place}: ${args.join(' ')}`).toContain(code)
          expect(err + out, `${place}: ${args.join(' ')}`).not.toMatch(/\n\s+at |TypeError|RangeError/)
          if (args[0] === 'verify' && code === 0) expect(await stateIn(await copyOf(copy)), place).toBe(made.steps.at(-1)!.state)
        }
        const target = join(await newFolder(), 'saved')
        const saved = await sluiceJson('salvage', copy, '--to', target)
        if (saved.state !== null) expect(states, place).toContain(await stateIn(target))
      }
    })
  })
})
