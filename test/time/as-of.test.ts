/**
 * Moments that have left memory, read from files: other work goes on meanwhile, and who asked may give up.
 *
 * The story: the checksum and the rows of a checkpoint were read without a turn of the event loop, 0.7 s for a million rows; `asOf` took no
 * signal, `fork` and `history` looked at theirs when everything was read; and all waited for a checkpoint or a backup that was under way.
 */
import { join } from 'node:path'
import { type Database, type Position } from 'sluicedb'
import { httpHandler } from 'sluicedb/http'
import { beforeAll, describe, expect, test } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import notesApp, { notes, write } from '../support/apps/notes-app.js'
import { newFolder, openFor, openOnce, refused } from '../support/fixture.js'

const { note } = notes.tables
const path = mkdtempSync(join(tmpdir(), 'sluice-test-'))
/** The end of the batch of the checkpoint, and a moment with as much log behind it. */
let checkpointed: Position
let later: Position

beforeAll(async () => {
  const db = await openOnce(notesApp, { path, durability: 'os' })
  const long = 'x'.repeat(60_000)
  const fill = (owner: string) => db.submitMany(write, Array.from({ length: 300 }, (_, id) => ({ owner, id, text: `${long}${id}`, tag: null })))
  await fill('ann')
  checkpointed = (await db.checkpoint()).position
  await fill('bob')
  later = db.stats().position as Position
  await db.call(write, { owner: 'cid', id: 1, text: 'newest', tag: null })
  await db.close()
  return () => rmSync(path, { recursive: true, force: true })
}, 60_000)

const openIt = (): Promise<Database> => openFor(notesApp, { path, durability: 'os', checkpoint: { logBytes: Infinity } })

/** Of the time that something takes, the largest share in which the event loop did not turn. */
async function stallOf(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  let last = begun
  let longest = 0
  let isOver = false
  const look = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await run()
  isOver = true
  look()
  return longest / (last - begun)
}

/** Aborted at the third turn of the event loop from now. */
function soonAborted(): AbortSignal {
  const controller = new AbortController()
  setImmediate(() => setImmediate(() => setImmediate(() => controller.abort('enough'))))
  return controller.signal
}

describe('a moment that is read from files', () => {
  test('lets the event loop turn while its checkpoint is summed and laid down', async () => {
    const db = await openIt()
    // 18 MB of texts in rows, and once more in their json: summed, then read, in steps of 4 MiB. Others may have the processor meanwhile.
    const stalls: number[] = []
    while (stalls.length < 5) {
      stalls.push(
        await stallOf(async () => {
          using past = await db.asOf(checkpointed)
          expect([past.table(note).count(), past.position]).toEqual([300, checkpointed])
        }),
      )
    }
    expect(stalls.sort((one, other) => one - other)[2]).toBeLessThan(0.35)
  })

  test('is given up by the signal while files are read, by asOf, by fork, by a Date, and can be asked for again', async () => {
    const db = await openIt()
    for (const moment of [checkpointed, later]) {
      expect((await refused(db.asOf(moment, { signal: soonAborted() }), 'CANCELLED')).cause).toBe('enough')
      await refused(db.fork(moment, { signal: soonAborted() }), 'CANCELLED')
    }
    using past = await db.asOf(later, { signal: new AbortController().signal })
    expect(past.table(note).count()).toBe(600)
    const { time } = past
    await refused(db.asOf(new Date(time), { signal: soonAborted() }), 'CANCELLED')
  })

  test('does not keep whom it no longer concerns waiting behind a backup', { timeout: 60_000 }, async () => {
    const db = await openIt()
    let isCopied = false
    const copying = db.backup(join(await newFolder(), 'copy')).then(() => (isCopied = true))
    const controller = new AbortController()
    const reading = refused(db.asOf(checkpointed, { signal: controller.signal }), 'CANCELLED')
    const forking = refused(db.fork(checkpointed, { signal: controller.signal }), 'CANCELLED')
    controller.abort('enough')
    expect((await reading).cause).toBe('enough')
    await forking
    expect(isCopied).toBe(false)
    const waiting = new AbortController()
    const late = refused(db.checkpoint({ signal: waiting.signal }), 'CANCELLED')
    waiting.abort()
    await late
    expect(isCopied).toBe(false)
    await copying
    using past = await db.asOf(checkpointed)
    expect(past.table(note).count()).toBe(300)
  })

  test('ends when the database is closed, which does not wait for it', async () => {
    const db = await openIt()
    const reading = refused(db.asOf(later), 'DATABASE_CLOSED', 'CANCELLED')
    await new Promise((resolve) => setImmediate(resolve))
    await db.close()
    await reading
  })

  test('over HTTP: a client that goes away gives its place free', async () => {
    const db = await openIt()
    const handler = httpHandler(db, { expose: { tables: [note] } })
    const read = (signal?: AbortSignal): Promise<Response> => handler(new Request(`http://db/table/notes/note?key=ann&key=1&at=${checkpointed}`, signal && { signal }))
    expect((await read(soonAborted())).status).toBe(499)
    expect((await read()).status).toBe(200)
  })
})

test('the history of a row that is read from files is given up by its signal, also where nothing is found', async () => {
  const db = await openIt()
  const all = async (key: readonly [string, number], signal: AbortSignal): Promise<number> => {
    let count = 0
    for await (const _ of db.history(note, key, { signal })) count += 1
    return count
  }
  expect((await refused(all(['nobody', 1], soonAborted()), 'CANCELLED')).cause).toBe('enough')
  expect(await all(['ann', 1], new AbortController().signal)).toBe(1)
})

test('in memory a signal is looked at, and wrong options are refused', async () => {
  const db = await openFor(notesApp)
  const { position } = await db.submit(write, { owner: 'ann', id: 1, text: 'one', tag: null })
  await db.call(write, { owner: 'ann', id: 1, text: 'two', tag: null })
  using past = await db.asOf(position, { signal: new AbortController().signal })
  expect(past.table(note).value(['ann', 1], 'text')).toBe('one')
  await refused(db.asOf(position, { signal: AbortSignal.abort() }), 'CANCELLED')
  await refused(db.asOf(position, { timeoutMs: 5 } as never), 'INVALID_USE')
  await refused(db.asOf(position, { signal: 'soon' } as never), 'INVALID_USE')
  await refused(db.asOf(position, null as never), 'INVALID_USE')
})
