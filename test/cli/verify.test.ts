/** `sluice verify`: what is whole is called whole, and every kind of damage is named with its place. */
import { existsSync, readdirSync, rmSync, truncateSync, appendFileSync, cpSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Findings } from '../../engine/offline/finding.js'
import { catalogIn, walkLog } from '../../engine/offline/log-walk.js'
import { RebuiltStore } from '../../engine/offline/rebuilt-store.js'
import { Source } from '../../engine/offline/source.js'
import { decodeMeta } from '../../engine/stream/checkpoint-rows.js'
import { ChangeBuffer, CheckpointSet, LmdbCheckpointStore, rowWords, TemporaryFolder } from '../../wal/index.js'
import bankApp, { deposit } from '../support/apps/bank-app.js'
import { packageRoot, start } from '../support/child.js'
import { newFolder, openFor, until } from '../support/fixture.js'
import { copyOf, damage, makeBank, partsOf, sluice, sluiceJson } from './sluice.js'

const log1 = 'log/0000000001.slog'

describe('a whole database', () => {
  test('is proved: the log, two checkpoints against it, and the indexes', async () => {
    const { path } = await makeBank({ deposits: 9, checkpointEvery: 3 })
    const { code, out } = await sluice('verify', path)
    expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/whole\n$/) })
    const report = await sluiceJson('verify', path)
    expect(report).toMatchObject({ isWhole: true, findings: [], log: { after: 0, tornBytes: 0 } })
    expect(report.checkpoints.map((one: any) => [one.state, one.comparedWith])).toEqual(Array(2).fill(['whole', 'the log from its beginning']))
    // 6 accounts, one of them closed; 9 deposits and 2 sides of a transfer.
    expect(report.rows).toBe(5 + 9 + 2)
  })

  test('made by workers is proved as well', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 4, workers: 2 })
    expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, rows: 5 + 6 + 2 })
  })

  test('with a torn end is whole: nobody was ever told about it', async () => {
    const { path } = await makeBank()
    const last = (await partsOf(path)).at(-1)!
    damage(path, log1, last.offset + last.bytes + 40, () => 0x7f)
    const report = await sluiceJson('verify', path)
    expect(report).toMatchObject({ isWhole: true, findings: [] })
    expect(report.log.tornBytes).toBeGreaterThan(0)
    expect((await sluice('verify', path)).out).toContain('never acknowledged')
  })

  test('whose checkpoint was interrupted is whole: the other one serves', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    const set = CheckpointSet.open(LmdbCheckpointStore.open(join(path, 'checkpoint')))
    await set.begin().abandon()
    const report = await sluiceJson('verify', path)
    expect(report.isWhole).toBe(true)
    expect(report.checkpoints.map((one: any) => one.state)).toEqual(['whole', 'unfinished'])
  })
})

test('beside a database that writes and makes checkpoints, what is there at a moment is whole', { timeout: 60_000 }, async () => {
  const { path } = await makeBank({ deposits: 4 })
  const db = await openFor(bankApp, { path, durability: 'os' })
  let isOver = false
  let calls = 0
  const writing = (async () => {
    for (; !isOver; calls += 1) {
      await db.call(deposit, { to: 'a1', amount: 1, n: 10_000 + calls, filler: 'x'.repeat(calls % 500) }, { id: `while-${calls}` })
      if (calls % 50 === 49) await db.checkpoint()
    }
  })()
  for (let run = 0; run < 4; run += 1) {
    // Each beside calls and a checkpoint of its own, however slow the machine is.
    await until(() => calls >= run * 60, 'it goes on writing')
    const verify = start([join(packageRoot, 'dist/bindings/cli/main.js'), 'verify', path])
    const { code } = await verify.ended
    expect({ code, out: verify.lines, err: verify.errors }).toMatchObject({ code: 0, out: expect.arrayContaining(['whole']) })
  }
  isOver = true
  await writing
})

test('copies of checkpoints leave the folder for temporary files, also when there is no room for all of them', async () => {
  const { path } = await makeBank({ deposits: 9, checkpointEvery: 3 })
  const target = join(await newFolder(), 'new')
  const made = vi.spyOn(TemporaryFolder, 'make')
  onTestFinished(() => made.mockRestore())
  const { copyTo } = CheckpointSet.prototype
  let copies = 0
  const copying = vi.spyOn(CheckpointSet.prototype, 'copyTo').mockImplementation(function (this: CheckpointSet, ...args) {
    copies += 1
    if (copies === 2) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    return copyTo.apply(this, args)
  })
  onTestFinished(() => copying.mockRestore())
  for (const args of [['verify', path], ['salvage', path], ['restore', path, target]]) {
    copies = 0
    expect((await sluice(...args)).err, args[0]).toContain('ENOSPC')
    expect(copies, args[0]).toBe(2)
  }
  const folders = made.mock.results.map(({ value }) => (value as TemporaryFolder).path)
  expect(folders).toHaveLength(3)
  expect(folders.filter((folder) => existsSync(folder))).toEqual([])
})

test('two rows with the same values in a unique index are found', async () => {
  // No application writes such rows, so the catalog of a log is given an index that its rows break.
  const { path } = await makeBank()
  const source = await Source.open(path, 'alone')
  let rebuilt: RebuiltStore | undefined
  for (const part of walkLog(source.log)) {
    if (part.kind === 'schema') {
      const catalog = catalogIn(part)
      const byAmount = { name: 'byAmount', on: ['amount'], range: false, unique: true }
      rebuilt ??= new RebuiltStore({ ...catalog, tables: catalog.tables.map((table) => (table.name === 'bank.entry' ? { ...table, indexes: [byAmount] } : table)) })
      rebuilt.schema(catalog)
    }
    if (part.kind === 'frame') rebuilt!.frame(part.body)
  }
  await source.close()
  rebuilt!.end()
  const findings = new Findings()
  rebuilt!.check(findings)
  // The deposit of 5, and the side of the transfer that got 5.
  expect(findings.all).toMatchObject([
    { part: 'index', message: expect.stringMatching(/^C5: .*"byAmount"/) },
    { part: 'index', table: 'bank.entry', key: ['a4', 4], message: expect.stringContaining('"byAmount"') },
  ])
})

describe('damage', () => {
  test('in the log is named with file, place and batch', async () => {
    const { path } = await makeBank()
    const frames = (await partsOf(path)).filter((part) => part.kind === 'frame')
    damage(path, log1, frames[5]!.offset + 200)
    const report = await sluiceJson('verify', path)
    expect(report).toMatchObject({
      isWhole: false,
      findings: [{ part: 'log', file: log1, segment: 1, offset: frames[5]!.offset, batch: frames[4]!.batch, message: expect.stringContaining('checksum of the body') }],
    })
    const { code, out } = await sluice('verify', path)
    expect(code).toBe(1)
    expect(out).toContain(`DAMAGED     ${log1}, byte ${frames[5]!.offset}`)
  })

  test('a missing first segment: the rest does not begin at the beginning', async () => {
    const { path } = await makeBank()
    rmSync(join(path, log1))
    expect(await sluice('verify', path)).toMatchObject({ code: 1 })
  })

  test('a log that was cut short below its checkpoint is named', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    const frames = (await partsOf(path)).filter((part) => part.kind === 'frame')
    truncateSync(join(path, log1), frames[3]!.offset)
    const { isWhole, findings } = await sluiceJson('verify', path)
    expect(isWhole).toBe(false)
    expect(findings.map((one: any) => one.message).join()).toMatch(/and the log ends with batch/)
  })

  test.each(['a.mdb', 'b.mdb', 'a.manifest', 'b.manifest'])('one byte of %s, one byte more, one byte less', async (name) => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    const file = join('checkpoint', name)
    for (const change of [
      (copy: string) => damage(copy, file, 17),
      (copy: string) => appendFileSync(join(copy, file), 'x'),
      (copy: string) => truncateSync(join(copy, file), 300),
    ]) {
      const copy = await copyOf(path)
      change(copy)
      const { isWhole, findings } = await sluiceJson('verify', copy)
      expect({ isWhole, files: findings.map((one: any) => one.file) }).toEqual({ isWhole: false, files: [`checkpoint/${name.slice(0, 1)}.mdb`] })
    }
  })

  test('a checkpoint of another database is named', async () => {
    const [mine, other] = [await makeBank({ deposits: 2, checkpointEvery: 1 }), await makeBank({ deposits: 2, checkpointEvery: 1 })]
    for (const name of readdirSync(join(other.path, 'checkpoint'))) cpSync(join(other.path, 'checkpoint', name), join(mine.path, 'checkpoint', name))
    const { findings } = await sluiceJson('verify', mine.path)
    expect(findings).toMatchObject([{ part: 'checkpoint', message: expect.stringContaining('another database') }])
  })
})

/** Checksums are right and the content is wrong: what a bug would leave, and only a comparison finds. */
describe('a checkpoint that says something else than the log', () => {
  type Change = (table: string, key: Uint8Array, value: Uint8Array) => Uint8Array | undefined | 'as it is'

  async function lie(path: string, change: Change): Promise<void> {
    const set = CheckpointSet.open(LmdbCheckpointStore.open(join(path, 'checkpoint')))
    const [newest] = set.candidates()
    const whole = set.read(newest!.name)
    const { batch, meta } = whole
    const rows: { key: Uint8Array; value: Uint8Array }[] = []
    for (const { rows: at, bytes, count } of whole.blocks()) {
      for (let n = 0; n < count; n += 1) {
        const [keyAt, keyBytes, valueAt, valueBytes] = at.subarray(n * rowWords, (n + 1) * rowWords) as unknown as [number, number, number, number]
        rows.push({ key: bytes.slice(keyAt, keyAt + keyBytes), value: bytes.slice(valueAt, valueAt + valueBytes) })
      }
    }
    const tables = decodeMeta(meta)!.catalog.tables.map((table) => table.name)
    await whole.close()
    const run = set.begin()
    const changes = new ChangeBuffer()
    for (const { key, value } of rows) {
      const next = change(tables[key[1]!] ?? 'outcomes', key, value)
      if (next === undefined) changes.delete(key)
      else changes.put(key, next === 'as it is' ? value : next)
    }
    run.checkpoint.apply(changes.sorted(), { batch, meta })
    await run.finish()
  }

  const isAccount = (table: string, key: Uint8Array, id: string): boolean => table === 'bank.account' && Buffer.from(key).includes(id)

  test('another value in a row', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    await lie(path, (table, key, value) => {
      if (!isAccount(table, key, 'a2')) return 'as it is'
      const next = value.slice()
      const at = next.findIndex((_, n) => n % 8 === 0 && new DataView(next.buffer).getFloat64(n, true) === 203)
      expect(at).toBeGreaterThanOrEqual(0)
      new DataView(next.buffer).setFloat64(at, 204, true)
      return next
    })
    const { findings } = await sluiceJson('verify', path)
    expect(findings).toMatchObject([{ part: 'rows', table: 'bank.account', key: 'a2', message: 'the checkpoint and the log differ in balance' }])
  })

  test('a row that is missing', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    await lie(path, (table, key) => (isAccount(table, key, 'a2') ? undefined : 'as it is'))
    const { findings } = await sluiceJson('verify', path)
    expect(findings).toMatchObject([{ part: 'rows', table: 'bank.account', key: 'a2', message: expect.stringContaining('lacks a row') }])
  })

  test('an outcome that differs, and one that is missing', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    await lie(path, (_, key, value) => {
      const id = key[0] === 0xff ? Buffer.from(key.subarray(2)).toString() : ''
      if (id === 'order-5') return undefined
      if (id !== 'order-2') return 'as it is'
      return Uint8Array.from(value, (byte, n) => (n === 16 ? byte ^ 1 : byte))
    })
    const { findings } = await sluiceJson('verify', path)
    expect(findings.map((one: any) => [one.key, one.message]).sort()).toEqual([
      ['order-2', expect.stringContaining('differ in the outcome')],
      ['order-5', expect.stringContaining('lacks the outcome')],
    ])
  })

  test('a row under the key of another one', async () => {
    const { path } = await makeBank({ deposits: 6, checkpointEvery: 3 })
    let a1: Uint8Array | undefined
    await lie(path, (table, key, value) => {
      if (isAccount(table, key, 'a1')) a1 = value
      return isAccount(table, key, 'a2') ? a1!.slice() : 'as it is'
    })
    const { findings } = await sluiceJson('verify', path)
    expect(findings.map((one: any) => one.message).join()).toContain('under the key of another row')
  })
})
