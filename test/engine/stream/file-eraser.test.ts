/**
 * The files of an erasure on a disk in memory whose power goes at every operation: the next life ends it before it reads anything, and then
 * the rows are those of a database that never had the subject, both checkpoints are whole, and no file holds a byte of the subject.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LoggedCatalog } from '../../../engine/schema/catalog.js'
import { erasurePlan } from '../../../engine/schema/erasure-plan.js'
import { RebuiltStore } from '../../../engine/offline/rebuilt-store.js'
import { bringForward } from '../../../engine/stream/checkpointer.js'
import { beginFiles, eraseFiles, type ErasedFiles } from '../../../engine/stream/file-eraser.js'
import { recover } from '../../../engine/stream/recover.js'
import { CheckpointSet, ErasureJournal, inspectLog, MemoryLogStorage, PlainCheckpointStore, withPatches, type StorageFault, type StorageOperation } from '../../../wal/index.js'
import application, { dropNote, putBoth, putNote, putVisit } from '../../support/apps/erasure-app.js'
import { newFolder, openOnce } from '../../support/fixture.js'
import { programOf } from '../../support/inside.js'
import { randomOf, type Random } from '../../support/random.js'

const ann = 'ann-5k2j@example.org'
const plan = erasurePlan(programOf(application), ann)!

interface Disk {
  readonly log: MemoryLogStorage
  readonly checkpoints: MemoryLogStorage
}
type OnOperation = (operation: StorageOperation) => StorageFault | undefined

const setOf = ({ checkpoints }: Disk, databaseId?: Uint8Array): CheckpointSet => CheckpointSet.open(new PlainCheckpointStore(checkpoints), { databaseId })
const copyOf = ({ log, checkpoints }: Disk, onOperation?: OnOperation): Disk => {
  const options = { crashable: true, ...(onOperation && { onOperation }) }
  return { log: log.copy(options), checkpoints: checkpoints.copy(options) }
}
const filesWith = ({ log, checkpoints }: Disk): readonly string[] =>
  [log, checkpoints].flatMap((disk) => disk.list().filter((name) => Buffer.from(disk.bytesOf(name)).includes(ann)))

/** A log that a database wrote, and two checkpoints of it, at different batches. */
async function madeDisk(): Promise<{ disk: Disk; upTo: number; databaseId: Uint8Array }> {
  const path = await newFolder()
  const db = await openOnce(application, { path, durability: 'os', partitions: 2 })
  const rows = [0, 1, 2, 3].map((id) => ({ id, owner: id % 2 === 0 ? ann : 'bob', text: `${id % 2 === 0 ? ann : 'bob'} ${'x'.repeat(30 * id)}`, n: id }))
  for (const row of rows) await db.call(putNote, row, { id: `note ${row.owner} ${row.id}` })
  for (const row of rows) await db.call(putVisit, row)
  await db.call(putBoth, { ...rows[1]!, owner: ann }, { id: 'both' })
  const middle = Number.parseInt(db.stats().position.slice(0, 16), 16)
  await db.call(putNote, { ...rows[0]!, owner: 'bob', text: 'of bob now' })
  await db.call(dropNote, { id: 2 })
  await db.call(putVisit, { ...rows[3]!, owner: ann })
  const upTo = Number.parseInt(db.stats().position.slice(0, 16), 16)
  await db.close()
  const log = new MemoryLogStorage({ crashable: true })
  for (const name of readdirSync(join(path, 'log'))) {
    const bytes = readFileSync(join(path, 'log', name))
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1
    // A shorter file is a segment as well: the rest is zeros.
    if (used > 0) log.create(name).write([new Uint8Array(bytes.subarray(0, Math.ceil(used / 512) * 512 + 512))], 0)
  }
  const disk = { log, checkpoints: new MemoryLogStorage({ crashable: true }) }
  const [head] = [...inspectLog(log)]
  expect(head).toMatchObject({ kind: 'segment' })
  const databaseId = new Uint8Array(log.bytesOf('0000000001.slog').slice(8, 24))
  for (const to of [middle, upTo]) {
    await bringForward({ log, checkpoints: setOf(disk, databaseId), databaseId }, { upTo: to, outcomeWindowMs: Infinity, isUnsynced: false, shouldStop: () => false })
  }
  return { disk, upTo, databaseId }
}

/** What a life does with it: the first one, or one that comes after a crash. */
async function erase(disk: Disk, upTo: number, databaseId: Uint8Array): Promise<ErasedFiles> {
  const found = ErasureJournal.find(disk.log)
  if (found === undefined) ErasureJournal.clean(disk.log)
  const journal = found ?? ErasureJournal.begin(disk.log, { plan })
  journal.apply()
  if (journal.report === undefined) beginFiles(journal, upTo, {})
  const erased = await eraseFiles({ log: disk.log, checkpoints: setOf(disk, databaseId), journal, plan })
  journal.end()
  return erased
}

/** The rows that an opening would serve, by table. */
async function rowsOf(disk: Disk): Promise<string> {
  let rebuilt: RebuiltStore | undefined
  const layOut = (catalog: LoggedCatalog) => {
    rebuilt ??= new RebuiltStore(catalog, 32 * 2 ** 20)
    return { plan: rebuilt.store.plan, store: rebuilt.store, today: rebuilt.catalog }
  }
  const steps = recover({ log: disk.log, checkpoints: setOf(disk), outcomeWindowMs: Infinity, mode: 'salvage', layOut })
  while ((await steps.next()).done !== true);
  return JSON.stringify(rebuilt!.tables.map((table) => [...rebuilt!.rows(table)].sort((a, b) => Number(a['id']) - Number(b['id']))))
}

const stopped = (stop: number, random: Random): OnOperation => {
  let count = 0
  return ({ kind, bytes }) => {
    count += 1
    return count <= stop ? undefined : { code: 'EIO', writtenBytes: kind === 'write' ? random.below(bytes + 1) : 0 }
  }
}

test('a power cut at every operation on log and checkpoints: the erasure ends in the next life, and is whole', { timeout: 60_000 }, async () => {
  const { disk, upTo, databaseId } = await madeDisk()
  expect(filesWith(disk).length).toBe(3)
  const before = JSON.parse(await rowsOf(disk)) as readonly (readonly { owner: string | null; text: string | null }[])[]
  const expected = JSON.stringify([
    before[0]!.filter(({ owner }) => owner !== ann),
    before[1]!.map((row) => (row.owner === ann ? { ...row, owner: null, text: null } : row)),
  ])
  let counted = 0
  const whole = copyOf(disk, () => void (counted += 1))
  const report = await erase(whole, upTo, databaseId)
  const operations = counted
  expect(report).toMatchObject({ tables: { 'people.note': 5, 'people.visit': 4 }, events: 3 })
  expect(report.answers.length).toBe(3)
  expect(await rowsOf(whole)).toBe(expected)
  expect(filesWith(whole)).toEqual([])
  expect(setOf(whole).candidates()).toHaveLength(2)

  let wentOn = 0
  for (let stop = 0; stop < operations; stop += 1) {
    const random = randomOf(stop)
    const life = copyOf(disk, stopped(stop, random))
    let error: unknown
    await erase(life, upTo, databaseId).catch((caught: unknown) => (error = caught))
    expect(error, `operation ${stop} of ${operations}`).toBeDefined()
    const keeps = (): boolean => random.chance(0.5)
    const found: Disk = { log: life.log.crash(keeps, { crashable: true }), checkpoints: life.checkpoints.crash(keeps, { crashable: true }) }
    // Who only reads sees a log in which nothing is damaged.
    expect([...inspectLog(withPatches(found.log))].at(-1), `operation ${stop}`).toMatchObject({ kind: 'end', verdict: 'clean', batch: upTo })
    const journal = ErasureJournal.find(found.log)
    const isBegun = journal?.report !== undefined
    journal?.close()
    if (isBegun) wentOn += 1
    const again = await erase(found, upTo, databaseId)
    if (isBegun) expect([again.tables, again.events, again.answers, again.segments], `operation ${stop}`).toEqual([report.tables, report.events, report.answers, report.segments])
    expect(await rowsOf(found), `operation ${stop} of ${operations}`).toBe(expected)
    expect(filesWith(found), `operation ${stop} of ${operations}`).toEqual([])
    expect(setOf(found).candidates()).toHaveLength(2)
    expect([...inspectLog(found.log)].at(-1)).toMatchObject({ verdict: 'clean', batch: upTo })
  }
  expect(wentOn).toBeGreaterThan(20)
})
