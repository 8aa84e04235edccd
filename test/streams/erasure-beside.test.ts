/**
 * What comes while an erasure goes on, or after one that could not end: a row that is acknowledged behind the batch at which it looks last is
 * new data, and one before is gone. Either way memory and files say the same.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { sluiceJson } from '../cli/sluice.js'
import application, { note, putNote, putNoteLate } from '../support/apps/erasure-app.js'
import { newFolder, openFor, openOnce, refused, until } from '../support/fixture.js'
import { openInside } from '../support/inside.js'

const ann = 'ann-4c8v@example.org'
const noteOf = (id: number, owner = ann) => ({ id, owner, text: `note ${id}`, n: id })
const idsOf = (db: Database): readonly number[] => [...db.table(note)].map(({ id }) => id).sort()

function filesWith(path: string, text: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(path, name)).isFile() && readFileSync(join(path, name)).includes(text))
}

/**
 * The story: a checkpoint ran, another one waited behind it, and an erasure took its leave of memory before both. Then she came back and was
 * acknowledged, the waiting checkpoint took her new row, and the erasure took it out of the checkpoints: after the next opening it was gone.
 */
test('who registers again keeps what is new, however many checkpoints wait with the erasure', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const { db, engine, opened, check } = await openInside(application, { path })
  await db.call(putNote, noteOf(1), { id: `first of ${ann}` })
  await db.checkpoint()
  let letGo!: () => void
  const held = opened.keeper!.exclusively(() => new Promise<void>((resolve) => (letGo = resolve)))
  const waiting = db.checkpoint()
  const erased = db.erase(ann)
  const isMemoryErased = (): boolean => engine.parts.frames.erasures > 0
  // It is to wait for its turn; where it does not, the other two still wait when she comes back.
  await until(isMemoryErased, 'memory is without her', 300).catch(() => letGo())
  await until(isMemoryErased, 'memory is without her')
  await db.call(putNote, noteOf(2), { id: `second of ${ann}` })
  letGo()
  await Promise.all([held, waiting, db.checkpoint(), erased])
  expect(idsOf(db)).toEqual([2])
  check()
  await db.close()
  const again = await openFor(application, { path, durability: 'os' })
  expect(idsOf(again)).toEqual([2])
  expect(filesWith(path, 'note 1')).toEqual([])
  expect(await again.submit(putNote, noteOf(1), { id: `first of ${ann}` })).toMatchObject({ repeated: false })
  expect(await again.submit(putNote, noteOf(2), { id: `second of ${ann}` })).toMatchObject({ value: ann, repeated: true })
  await again.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, findings: [] })
})

/** It was erased from the log and stayed in memory, until the database was opened again. */
test.each([0, 1])('a call that was on its way when it began is waited for, and its row goes too (workers: %i)', { timeout: 60_000 }, async (workers) => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os', workers })
  await db.call(putNote, noteOf(1, 'bob'))
  const [, record] = await Promise.all([db.call(putNoteLate, { ...noteOf(2), turns: 40_000_000 }), db.erase(ann)])
  expect(idsOf(db)).toEqual([1])
  expect(record.tables['people.note']).toMatchObject({ rows: 1 })
  await db.close()
  expect(filesWith(path, ann)).toEqual([])
  expect(idsOf(await openFor(application, { path, durability: 'os' }))).toEqual([1])
})

test('one who writes all the time is erased as soon as she rests, and checkpoints go on meanwhile', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os' })
  let isResting = false
  const writing = (async () => {
    for (let id = 0; !isResting; id += 1) await db.call(putNote, noteOf(id % 100))
  })()
  const erased = db.erase(ann)
  for (let n = 0; n < 3; n += 1) await db.checkpoint()
  isResting = true
  await Promise.all([writing, erased])
  const left = idsOf(db)
  await db.close()
  expect(idsOf(await openFor(application, { path, durability: 'os' }))).toEqual(left)
})

/** The second checkpoint cannot be made: the log is rewritten by then. */
async function failed(path: string): Promise<{ readonly db: Database; readonly before: string }> {
  const db = await openOnce(application, { path, durability: 'os', checkpoint: { logBytes: 2 ** 20 } })
  const { position: before } = await db.submit(putNote, noteOf(1))
  await db.checkpoint()
  mkdirSync(join(path, 'checkpoint/b.mdb'))
  await refused(db.erase(ann), 'LOG_FAILED')
  await db.call(putNote, noteOf(2))
  return { db, before }
}

test('one that could not end with the files leaves no checkpoint, copy or moment in between; the next one ends it, and keeps what came since', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const { db, before } = await failed(path)
  const warnings: Error[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  await Promise.all([1, 2, 3].map((n) => db.call(putNote, { ...noteOf(10 * n, 'bob'), text: 'x'.repeat(500_000) })))
  const copy = join(await newFolder(), 'copy')
  for (const ask of [() => db.checkpoint(), () => db.backup(copy), async () => await db.asOf(before as never)]) {
    expect((await refused(ask(), 'INVALID_USE')).message).toContain('call db.erase() again')
  }
  expect((await refused(db.erase('bob'), 'LOG_FAILED')).message).toContain('call db.erase() again')
  expect(db.erasures()).toEqual([])
  expect(await sluiceJson('verify', path)).toMatchObject({ isInUse: true, isWhole: true, log: { isHalfErased: true } })
  process.off('warning', listen)
  expect(warnings.filter((one) => (one as { code?: unknown }).code === 'CHECKPOINT' || one.message.includes('checkpoint'))).toEqual([])

  rmdirSync(join(path, 'checkpoint/b.mdb'))
  await db.erase('bob')
  expect([db.erasures(ann).length, db.erasures('bob').length]).toEqual([1, 1])
  expect([idsOf(db), filesWith(path, 'note 1')]).toEqual([[2], []])
  await db.checkpoint()
  const past = await db.asOf(before as never)
  expect([...past.table(note)]).toEqual([])
  past.close()
  await db.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, findings: [], log: { erasures: 2 } })
  expect(idsOf(await openFor(application, { path, durability: 'os' }))).toEqual([2])
})

test('so does the next opening', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const { db: first } = await failed(path)
  rmdirSync(join(path, 'checkpoint/b.mdb'))
  // One that were made now would have the new note, and lose it to the end of the erasure.
  await first.checkpoint().catch(() => undefined)
  await first.close()
  const db = await openFor(application, { path, durability: 'os' })
  expect([idsOf(db), filesWith(path, 'note 1'), db.erasures(ann).length]).toEqual([[2], [], 1])
  await db.checkpoint()
  await db.close()
  expect(await sluiceJson('verify', path)).toMatchObject({ isWhole: true, findings: [] })
  expect(idsOf(await openFor(application, { path, durability: 'os' }))).toEqual([2])
})

test.each([0, 5, 20, 50, 100])('closed %i ms after it was asked, it has not begun, or is done, or is when the database is opened again', { timeout: 60_000 }, async (ms) => {
  const path = await newFolder()
  const db = await openOnce(application, { path, durability: 'os' })
  await db.call(putNote, noteOf(1))
  await db.checkpoint()
  const erased = db.erase(ann).then(
    () => true,
    () => false,
  )
  await new Promise((resolve) => setTimeout(resolve, ms))
  await db.close()
  const isErased = (await erased) || existsSync(join(path, 'log/erasure'))
  const again = await openFor(application, { path, durability: 'os' })
  expect([idsOf(again), again.erasures(ann).length]).toEqual(isErased ? [[], 1] : [[1], 0])
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  await again.close()
  expect(filesWith(path, ann).length).toBe(isErased ? 0 : 2)
})
