/**
 * What the simulator found, told and made to happen without it. Each test begins with the story.
 */
import { expect, test } from 'vitest'
import type { Program } from '../../engine/schema/descriptor.js'
import { SluiceError } from '../../engine/base/errors.js'
import modelApp, { run } from '../support/apps/model-app.js'
import type { Script } from '../support/apps/script.js'
import { MemoryLogStorage, removeSegments, type StorageFault, type StorageOperation } from '../../wal/index.js'
import { newFolder, openFor } from '../support/fixture.js'
import { appendAll, openWriter, recover, type Written } from '../wal/log-fixture.js'
import { Life } from './life.js'
import { SimulatedDisk } from './simulated-disk.js'

const program = (modelApp as unknown as Record<symbol, Program>)[Symbol.for('sluicedb.app')]!

const openLife = (): Promise<Life> =>
  Life.open(program, {
    disk: SimulatedDisk.create(() => undefined),
    databaseId: new Uint8Array(16).fill(9),
    workers: 1,
    durability: 'fsync',
    segmentBytesMax: 65_536,
    historyBytes: 0,
    laneSeed: 1,
    wallMs: 1_700_000_000_000,
  })

/** One call, from the question to the answer. */
async function call(life: Life, script: Script): Promise<{ value?: unknown; error?: unknown }> {
  let answer: { value?: unknown; error?: unknown } | undefined
  const caller = {
    done: (_: number, value: unknown) => (answer = { value }),
    failed: (_: number, error: unknown) => (answer = { error }),
  }
  const procedure = program.procedures.findIndex(({ descriptor }) => descriptor.name === 'main.run')
  life.engine.submit(procedure, { script }, caller as never, 0)
  life.world.endTick()
  await life.runBatch()
  life.ring()
  life.stepLog()
  life.world.turn()
  if (answer === undefined) throw new Error('the call was not answered')
  return answer
}

// Seed 916643851, row 32. A setter of an i32 column tried `value | 0` before it asked for the type. With a bigint that
// is an error of the language and none of ours: it doomed nothing, and a procedure that caught it committed half of what
// it had set.
test('a bigint for a whole number, set through a row and caught by the procedure, dooms the transaction', async () => {
  const life = await openLife()
  const values = { id: 1, flag: true, small: 5, wide: 1, whole: 1, real: 1, big: 1n, name: 'ann', blob: Uint8Array.of(1), data: 1, at: 1, ref: '7b53c5a2-7f0e-4c2c-9d53-0a5b8d2f1e11', mood: 'calm' }
  expect(await call(life, [{ op: 'put', table: 'thing', row: values }])).toHaveProperty('value')
  const setting: Script = [{ op: 'set', table: 'thing', key: 1, columns: { whole: 2, smallD: 1n } }]
  const { error } = await call(life, [{ op: 'try', script: setting }])
  expect(SluiceError.is(error, 'INVALID_INPUT'), String(error)).toBe(true)
  expect(await call(life, [{ op: 'get', table: 'thing', key: 1 }])).toMatchObject({ value: [{ whole: 1, smallD: -7 }] })
})

// Seed 147907204, row 32. With durability 'memory' a batch is durable before its frame is in the files. A checkpoint that was
// asked for between the two was told to go up to batch 1, which has no frame, and said that the log was damaged.
test('a checkpoint that is asked for before the first frame is in the files is empty or whole, and no damage', async () => {
  for (let n = 0; n < 5; n += 1) {
    const db = await openFor(modelApp, { path: await newFolder(), durability: 'memory' })
    await db.call(run, { script: [{ op: 'put', table: 'tally', row: { place: 'a', count: 1 } }] })
    const { rows } = await db.checkpoint()
    expect([0, 1]).toContain(rows)
    expect((await db.checkpoint()).rows).toBeLessThanOrEqual(1)
    await db.close()
  }
})

// Seed 268089904, row 7. The log thread could not sync a new segment: its head was lost, and counted as clean. The checkpoint
// thread, at work meanwhile, synced that segment once more, which went well, and removed the one before it. After a power cut the
// log began with a segment without a head, and was refused.
test('a segment leaves only when the head of the next one is on disk, also when a sync of it has failed before', () => {
  let fails = false
  const onOperation = ({ kind }: StorageOperation): StorageFault | undefined => (fails && kind === 'sync' ? { code: 'EIO' } : undefined)
  const disk = new MemoryLogStorage({ crashable: true, onOperation })
  const writer = openWriter(disk, recover(disk).tail)
  const written = appendAll(writer, [9_000])
  expect(writer.prepareNext()).toBe('ready')
  const [{ batch }] = written as [Written]
  fails = true
  expect(() => appendAll(writer, [9_000])).toThrow(expect.objectContaining({ code: 'LOG_FAILED' }))
  fails = false
  expect(removeSegments(disk, { upTo: batch })).toEqual([1])
  expect(recover(disk.crash(() => false), { after: batch }).frames).toEqual([])
})
