/**
 * The long phases of an opening: each tells how far it is, and hears its signal. An opening that was given up leaves no thread, no lock and no open
 * file; the next one goes on with what was begun, and ends it.
 *
 * The story: the first building of an inline projection and the end of an erasure are part of `open()`, take as long as reading the log, and looked
 * at no signal; and what was given up while a checkpoint or the log was read kept its files open.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { app, column as c, type OpenOptions, type OpenProgress, projection, service, table } from 'sluicedb'
import { expect, onTestFinished, test } from 'vitest'
import { erasurePlan } from '../../engine/schema/erasure-plan.js'
import { beginFiles } from '../../engine/stream/file-eraser.js'
import { ErasureJournal, FileLogStorage, inspectLog } from '../../wal/index.js'
import erasureApp, { note, people, putNote } from '../support/apps/erasure-app.js'
import notesApp, { notes, write } from '../support/apps/notes-app.js'
import { sellMany, shop } from '../support/apps/projections-app.js'
import { newFolder, openFor, openOnce, refused } from '../support/fixture.js'
import { programOf } from '../support/inside.js'

/** Opens until a phase says how far it is, and gives up there. */
async function givenUpIn(phase: OpenProgress['phase'], application: Parameters<typeof openOnce>[0], options: OpenOptions): Promise<OpenProgress> {
  const controller = new AbortController()
  let at: OpenProgress | undefined
  const onProgress = (progress: OpenProgress): void => {
    if (progress.phase !== phase || at !== undefined) return
    at = progress
    controller.abort('enough')
  }
  const error = await refused(openOnce(application, { ...options, signal: controller.signal, onProgress }), 'CANCELLED')
  expect(error.cause).toBe('enough')
  expect(at!.bytes).toBeLessThanOrEqual(at!.bytesInAll)
  expect(openIn(options.path!)).toEqual([])
  return at!
}

/** Files of a directory that this process has open. */
function openIn(path: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const file = readlinkSync(`/proc/self/fd/${descriptor}`)
      return file.startsWith(path) ? [file] : []
    } catch {
      return [] // the one that has listed them
    }
  })
}

const long = 'x'.repeat(100_000)

test.each(['checkpoint', 'log'] as const)('given up while it reads the %s, an opening closes what it has opened', { timeout: 60_000 }, async (phase) => {
  const path = await newFolder()
  const db = await openFor(notesApp, { path, durability: 'os' })
  const fill = (from: number) => db.submitMany(write, Array.from({ length: 60 }, (_, n) => ({ owner: 'ann', id: from + n, text: `${long}${n}`, tag: null })))
  await fill(0)
  if (phase === 'checkpoint') await db.checkpoint()
  await db.close()
  await givenUpIn(phase, notesApp, { path, durability: 'os' })
  const again = await openFor(notesApp, { path, durability: 'os' })
  expect(again.table(notes.tables.note).count()).toBe(60)
})

test('the first building of an inline projection is told of and can be given up, and the next opening goes on with it', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const before = await openOnce(app(import.meta.url, [shop]), { path, durability: 'os' })
  const count = 64 // transactions with as many events as one step takes
  const each = 512
  await before.submitMany(sellMany, Array.from({ length: count }, () => ({ customer: 'ann', count: each })))
  await before.close()

  let applied = 0
  const sums = projection('sums', { inline: true, tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } }).on(shop.events.sold, (tx, { payload }) => {
    applied += 1
    tx.db.sum.put({ id: 1, n: (tx.db.sum.get(1)?.n ?? 0) + payload.quantity })
  })
  const application = app(import.meta.url, [shop, service('more', { projections: { sums } })])
  await givenUpIn('projection', application, { path, durability: 'os' })
  expect(applied).toBeGreaterThan(0)
  expect(applied).toBeLessThan(count * each)

  const seen: OpenProgress[] = []
  const after = await openFor(application, { path, durability: 'os', onProgress: (progress) => void (progress.phase === 'projection' && seen.push(progress)) })
  expect(after.projection(sums).status().state).toBe('live')
  expect(after.projection(sums).tables.sum.get(1)?.n).toBe(count * each)
  expect(applied).toBe(count * each) // nothing of what was durable was made twice
  expect(seen.map(({ bytes }) => bytes)).toEqual(seen.map(({ bytes }) => bytes).sort((one, other) => one - other))
  const { bytes, bytesInAll } = seen.at(-1)!
  expect(bytes).toBe(bytesInAll)
})

test('what onProgress throws while a projection is built refuses the opening, and harms nothing', async () => {
  const path = await newFolder()
  const before = await openOnce(app(import.meta.url, [shop]), { path, durability: 'os' })
  await before.submitMany(sellMany, Array.from({ length: 8 }, () => ({ customer: 'ann', count: 512 })))
  await before.close()
  const sums = projection('sums', { inline: true, tables: { sum: table({ columns: { id: c.int(), n: c.int() }, key: ['id'] }) } }).on(shop.events.sold, (tx, { payload }) => {
    tx.db.sum.put({ id: 1, n: (tx.db.sum.get(1)?.n ?? 0) + payload.quantity })
  })
  const application = app(import.meta.url, [shop, service('more', { projections: { sums } })])
  const onProgress = (): void => {
    throw new RangeError('a mistake of the listener')
  }
  await expect(openOnce(application, { path, durability: 'os', onProgress })).rejects.toThrow('a mistake of the listener')
  expect(openIn(path)).toEqual([])
  const after = await openFor(application, { path, durability: 'os' })
  expect(after.projection(sums).tables.sum.get(1)?.n).toBe(8 * 512)
})

const ann = 'ann-5f2c@example.org'

function filesWithAnn(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(path, name)).isFile() && readFileSync(join(path, name)).includes(ann))
}

test.each(['asked', 'files begun'] as const)('an erasure that was stopped when it was %s is told of, the opening that goes on with it can be given up, and the next one ends it', { timeout: 120_000 }, async (when) => {
  const path = await newFolder()
  const db = await openOnce(erasureApp, { path, durability: 'os', partitions: 2 })
  const text = 'y'.repeat(30_000)
  await db.submitMany(putNote, Array.from({ length: 600 }, (_, id) => ({ id, owner: id % 2 === 0 ? ann : 'bob', text, n: id })))
  await db.checkpoint()
  await db.call(putNote, { id: 999, owner: ann, text: 'late', n: 1 })
  await db.close()

  const log = FileLogStorage.open(join(path, 'log'))
  const journal = ErasureJournal.begin(log, { plan: erasurePlan(programOf(erasureApp), ann), number: 7 })
  if (when === 'files begun') {
    let newest = 0
    for (const part of inspectLog(log)) if (part.kind === 'frame') newest = part.batch
    beginFiles(journal, newest, { 'people.note': 301 })
  }
  journal.close()

  await givenUpIn('erasure', erasureApp, { path, durability: 'os' })
  // On a slow machine its files may have been done when it heard of it.
  if (existsSync(join(path, 'log/erasure'))) expect(filesWithAnn(path)).not.toEqual([])

  const seen: OpenProgress[] = []
  const again = await openFor(erasureApp, { path, durability: 'os', onProgress: (progress) => void seen.push(progress) })
  expect(filesWithAnn(path)).toEqual([])
  expect(existsSync(join(path, 'log/erasure'))).toBe(false)
  expect([...again.table(note)].every(({ owner }) => owner === 'bob')).toBe(true)
  expect(again.table(note).count()).toBe(300)
  expect(again.erasures(ann)).toHaveLength(1)
  expect(again.erasures(ann)[0]!.tables).toMatchObject({ [`${people.name}.note`]: { rows: 301 } })
  for (const { bytes, bytesInAll } of seen) expect(bytes).toBeLessThanOrEqual(bytesInAll)
})

test('while the files of an erasure are made whole, the process does other things', { timeout: 120_000 }, async () => {
  const path = await newFolder()
  const db = await openOnce(erasureApp, { path, durability: 'os' })
  const text = 'y'.repeat(30_000)
  await db.submitMany(putNote, Array.from({ length: 600 }, (_, id) => ({ id, owner: id % 2 === 0 ? ann : 'bob', text, n: id })))
  await db.close()
  const log = FileLogStorage.open(join(path, 'log'))
  const journal = ErasureJournal.begin(log, { plan: erasurePlan(programOf(erasureApp), ann), number: 7 })
  let newest = 0
  for (const part of inspectLog(log)) if (part.kind === 'frame') newest = part.batch
  beginFiles(journal, newest, { 'people.note': 300 })
  journal.close()

  let turns = 0
  let isErasing = true
  const count = (): void => {
    if (!isErasing) return
    turns += 1
    setImmediate(count)
  }
  const onProgress = ({ phase }: OpenProgress): void => {
    if (phase === 'erasure' && turns === 0) count()
    else if (phase !== 'erasure') isErasing = false
  }
  onTestFinished(() => void (isErasing = false))
  await openFor(erasureApp, { path, durability: 'os', onProgress })
  expect(turns).toBeGreaterThan(10)
})

test('a signal that is none is refused before anything is opened', async () => {
  await refused(openOnce(notesApp, { signal: { aborted: false } as never }), 'INVALID_USE')
})
