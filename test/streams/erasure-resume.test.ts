/**
 * An erasure that was stopped goes on when the database is opened: from its intent alone, from files that were being rewritten, and from a
 * segment that was half written. Until then nobody copies its files. What the application refuses is refused, and leaves nothing behind; so is
 * a log that cannot be read to its end.
 */
import { existsSync, openSync, closeSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { app, column as c, service, table } from 'sluicedb'
import { expect, test } from 'vitest'
import { erasurePlan } from '../../engine/schema/erasure-plan.js'
import { Source } from '../../engine/offline/source.js'
import { verifyDatabase } from '../../engine/offline/verify.js'
import { beginFiles, eraseFiles, type ErasedFiles } from '../../engine/stream/file-eraser.js'
import { CheckpointSet, ErasureJournal, FileLogStorage, inspectLog, LmdbCheckpointStore } from '../../wal/index.js'
import { damage, partsOf, sluice, sluiceJson } from '../cli/sluice.js'
import application, { note, putNote, putVisit, visit } from '../support/apps/erasure-app.js'
import { newFolder, openFor, openOnce, refused } from '../support/fixture.js'
import { programOf } from '../support/inside.js'

const ann = 'ann-9d1s@example.org'

function filesWith(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(path, name)).isFile() && readFileSync(join(path, name)).includes(ann))
}

/** A closed database, with a checkpoint in the middle of its log. */
async function closed(): Promise<string> {
  const path = await newFolder()
  const db = await openOnce(application, { path, durability: 'os', partitions: 2 })
  for (const owner of [ann, 'bob']) {
    await db.call(putNote, { id: owner.length, owner, text: owner.repeat(9), n: 1 }, { id: `call of ${owner}` })
    await db.call(putVisit, { id: owner.length, owner, text: owner, n: 2 })
  }
  await db.checkpoint()
  await db.call(putNote, { id: 99, owner: ann, text: 'late', n: 3 })
  await db.close()
  return path
}

const begun = (path: string): ErasureJournal => ErasureJournal.begin(FileLogStorage.open(join(path, 'log')), { plan: erasurePlan(programOf(application), ann), number: 7 })

test.each(['asked', 'files begun', 'half written'] as const)('stopped when it was %s, it is done when the database is open', { timeout: 120_000 }, async (when) => {
  const path = await closed()
  const journal = begun(path)
  const log = FileLogStorage.open(join(path, 'log'))
  const frames = [...inspectLog(log)].map((part) => ({ ...part, body: undefined })).flatMap((part) => (part.kind === 'frame' ? [part] : []))
  if (when !== 'asked') beginFiles(journal, frames.at(-1)!.batch, { 'people.note': 2 })
  if (when === 'half written') {
    const { segment, offset, bytes } = frames[0]!
    const file = join(path, 'log', `000000000${segment}.slog`)
    const whole = readFileSync(file).subarray(offset, offset + bytes)
    journal.record(journal.report, [{ segment, offset, bytes: Uint8Array.from(whole) }])
    const torn = openSync(file, 'r+')
    writeSync(torn, Buffer.alloc(40, 0xee), 0, 40, offset + 150)
    closeSync(torn)
  }
  journal.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, log: { isErasureUnderWay: true, erasures: 0 } })

  const db = await openFor(application, { path, durability: 'os' })
  expect(filesWith(path)).toEqual([])
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  expect([...db.table(note)].map(({ owner }) => owner)).toEqual(['bob'])
  expect([...db.table(visit)].map(({ owner }) => owner).sort()).toEqual(['bob', null])
  const [record] = db.erasures(ann)
  expect(record!.tables).toMatchObject({ 'people.note': { rows: 2 } })
  expect(record).toMatchObject({ events: 1, answers: 1 })
  await db.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, log: { isErasureUnderWay: false, erasures: 1 } })
})

test('what the application refuses is refused, now and at the next opening, and leaves no journal', async () => {
  const owner = table({ columns: { id: c.text().subject() }, key: ['id'] })
  const thing = table({ columns: { id: c.int(), of: c.text().references(() => owner) }, key: ['id'] })
  const shelf = service('shelf', { tables: { owner, thing } })
  const put = shelf.procedure('put', { input: { id: c.text() } }, (tx, it) => {
    tx.db.owner.insert(it)
    tx.db.thing.insert({ id: 1, of: it.id })
  })
  const shelves = app(import.meta.url, [shelf])
  const path = await newFolder()
  const db = await openOnce(shelves, { path, durability: 'os' })
  await db.call(put, { id: ann })
  expect((await refused(db.erase(ann), 'CONSTRAINT')).message).toContain('shelf.thing')
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  expect(db.table(owner).has(ann)).toBe(true)
  await db.close()

  ErasureJournal.begin(FileLogStorage.open(join(path, 'log')), { plan: erasurePlan(programOf(shelves), ann), number: 7 }).close()
  const warnings: Error[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  const again = await openOnce(shelves, { path, durability: 'os' })
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  expect(again.table(owner).has(ann)).toBe(true)
  expect(again.erasures()).toEqual([])
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  expect(warnings.map(({ message }) => message).join()).toContain('refused')
  await again.close()
})

/** Between log and checkpoints, as a crash may: the file of the second checkpoint cannot be made. */
async function stoppedMidway(path: string): Promise<void> {
  const journal = begun(path)
  const log = FileLogStorage.open(join(path, 'log'))
  const frames = [...inspectLog(log)].flatMap((part) => (part.kind === 'frame' ? [part.batch] : []))
  beginFiles(journal, frames.at(-1)!, { 'people.note': 2 })
  mkdirSync(join(path, 'checkpoint/b.mdb'))
  const checkpoints = CheckpointSet.open(LmdbCheckpointStore.open(join(path, 'checkpoint')))
  await expect(eraseFiles({ log, checkpoints, journal, plan: erasurePlan(programOf(application), ann)! })).rejects.toThrow('b.mdb')
  rmdirSync(join(path, 'checkpoint/b.mdb'))
  journal.close()
}

test('between log and checkpoints nothing is damaged, and nobody makes a copy in which the subject would be back for good', { timeout: 120_000 }, async () => {
  const path = await closed()
  await stoppedMidway(path)
  expect(filesWith(path)).toContain('checkpoint/a.mdb')
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, findings: [], log: { isErasureUnderWay: true, isHalfErased: true }, rows: null })
  expect((await sluice('verify', path)).out).toContain('not compared')

  const target = join(await newFolder(), 'copy')
  for (const copying of [['restore', path, target], ['salvage', path, '--to', target]]) {
    const { code, err } = await sluice(...copying)
    expect(code, copying[0]).not.toBe(0)
    expect(err).toContain('open the database first')
    expect(existsSync(target)).toBe(false)
  }
  expect(await sluiceJson('salvage', path)).toMatchObject({ isWhole: true, isHalfErased: true })
  const rows = await sluice('salvage', path, '--rows', 'people.note')
  expect(rows.err).toContain('erasure')

  const db = await openOnce(application, { path, durability: 'os' })
  expect(filesWith(path)).toEqual([])
  await db.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, log: { isErasureUnderWay: false, isHalfErased: false } })
  expect((await sluice('restore', path, target)).code).toBe(0)
  expect(filesWith(target)).toEqual([])
})

test.each(['goes on', 'has ended'])('what verify compares beside an erasure that comes meanwhile, and %s, is no damage', { timeout: 60_000 }, async (what) => {
  const path = await closed()
  const db = await openOnce(application, { path, durability: 'os' })
  const source = await Source.open(path, 'beside')
  const newest = (await partsOf(path)).findLast(({ kind }) => kind === 'frame')!.batch
  let erasing: Promise<ErasedFiles> | undefined
  const report = await verifyDatabase(source, (step) => {
    if (step !== 'proving the checkpoints' || erasing !== undefined) return
    const journal = begun(path)
    const log = FileLogStorage.open(join(path, 'log'))
    beginFiles(journal, newest, {})
    erasing = eraseFiles({ log, checkpoints: CheckpointSet.open(LmdbCheckpointStore.open(join(path, 'checkpoint'))), journal, plan: erasurePlan(programOf(application), ann)! })
    if (what === 'has ended') journal.end()
  })
  await erasing
  expect(report).toMatchObject({ isWhole: true, findings: [], log: { erasedFrames: 0 } })
  await source.close()
  await db.close()
})

test('a log that is damaged before its checkpoint is not erased in part: it is refused, and nothing has happened', { timeout: 120_000 }, async () => {
  const path = await newFolder()
  const first = await openOnce(application, { path, durability: 'os' })
  for (const id of [1, 2]) await first.call(putNote, { id, owner: ann, text: `of ${ann}`, n: id })
  await first.checkpoint()
  await first.close()
  const [frame, behind] = (await partsOf(path)).filter(({ kind }) => kind === 'frame')
  damage(path, 'log/0000000001.slog', frame!.offset + 200)
  const damaged = filesWith(path)

  const db = await openFor(application, { path, durability: 'os' })
  const { details, message } = await refused(db.erase(ann), 'LOG_CORRUPT')
  expect(details).toMatchObject({ segment: 1, offset: frame!.offset, batch: 0 })
  expect(message).toContain('salvage')
  expect([...db.table(note)].map(({ owner }) => owner)).toEqual([ann, ann])
  expect(filesWith(path)).toEqual(damaged)
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  expect(db.erasures()).toEqual([])
  await db.checkpoint()
  await db.close()

  // One that an earlier life had begun cannot end either; what is behind the damage is never passed over.
  const journal = begun(path)
  beginFiles(journal, behind!.batch, {})
  journal.close()
  await refused(openOnce(application, { path, durability: 'os' }), 'LOG_CORRUPT')
  const target = join(await newFolder(), 'saved')
  expect((await sluice('salvage', path, '--to', target)).out).toContain('db.erase()')
  const saved = await openFor(application, { path: target, durability: 'os' })
  await saved.erase(ann)
  expect(filesWith(target)).toEqual([])
})
