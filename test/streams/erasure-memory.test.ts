/** What streams have read before a subject is erased, and have not handed out: it is read again. docs/erasure.md. */
import type { Commit, Database } from 'sluicedb'
import { describe, expect, test } from 'vitest'
import erasureApp, { note, putNote, putVisit } from '../support/apps/erasure-app.js'
import { newFolder, openFor } from '../support/fixture.js'

const ann = 'ann-7f3e9c'
const people = [ann, 'bob', 'cid']

async function write(db: Database, from: number, to: number): Promise<void> {
  for (let id = from; id < to; id += 1) {
    const row = { id, owner: people[id % 3]!, text: `of ${people[id % 3]!}`, n: id }
    if (id % 2 === 0) await db.call(putNote, row)
    else await db.call(putVisit, row)
  }
}
async function upTo(stream: AsyncIterator<Commit>, last: string): Promise<Commit[]> {
  const commits: Commit[] = []
  for (;;) {
    const next = await stream.next()
    if (next.done === true) return commits
    commits.push(next.value)
    if (next.value.position >= last) return commits
  }
}
const shown = (commits: readonly Commit[]): string => JSON.stringify(commits)

describe.each([['memory', false], ['files', true]] as const)('in %s', (_, hasPath) => {
  test('buffers of streams that were open, live or behind, hold nothing of a subject that was erased, and miss and repeat nothing', async () => {
    const db = await openFor(erasureApp, hasPath ? { path: await newFolder(), durability: 'os' } : {})
    const live = db.changes()[Symbol.asyncIterator]()
    const liveNotes = db.changes({ tables: [note] })[Symbol.asyncIterator]()
    const idle = db.changes()[Symbol.asyncIterator]() // nobody has asked it
    const asked = [live.next(), liveNotes.next()]
    await write(db, 0, 1)
    await Promise.all(asked)
    await write(db, 1, 25)
    const behind = db.changes({ from: 'beginning' })[Symbol.asyncIterator]()
    const { value: first } = (await behind.next()) as { value: Commit }
    await live.next()
    expect(db.stats().streams.buffered).toBe(24 + 23 + 12) // behind, live, and that of notes

    const { position } = await db.erase(ann)
    const whole = await upTo(db.changes({ from: 'beginning' })[Symbol.asyncIterator](), position)
    expect(shown(whole)).not.toContain(ann)
    expect(await upTo(idle, position)).toEqual(whole)
    expect(await upTo(behind, position)).toEqual(whole.slice(1))
    expect(first.position).toBe(whole[0]!.position)
    expect(await upTo(live, position)).toEqual(whole.slice(2))
    await db.call(putNote, { id: 99, owner: 'bob', text: null, n: 99 })
    const notes = await upTo(liveNotes, db.stats().position)
    const ofNotes = (commits: readonly Commit[]) => commits.flatMap(({ changes }) => changes.filter(({ table }) => table === 'people.note'))
    expect(ofNotes(notes)).toEqual([...ofNotes(whole.slice(1)), { kind: 'insert', table: 'people.note', key: 99, before: undefined, after: { id: 99, owner: 'bob', text: null, n: 99 } }])
    expect(((await live.next()).value as Commit).changes).toHaveLength(1) // live again
  })

  test('a stream of everything that is live sees rows go, and the record; one of a table sees its rows go', async () => {
    const db = await openFor(erasureApp, hasPath ? { path: await newFolder(), durability: 'os' } : {})
    await write(db, 0, 6)
    const live = db.changes()[Symbol.asyncIterator]()
    const liveNotes = db.changes({ tables: [note] })[Symbol.asyncIterator]()
    const next = [live.next(), liveNotes.next()]
    await db.call(putNote, { id: 50, owner: 'bob', text: null, n: 1 })
    await Promise.all(next)
    const [all, notes] = [live.next(), liveNotes.next()]
    const record = await db.erase(ann)
    expect(((await all).value as Commit).changes).toHaveLength(2) // erased in the log, and read by then
    expect((await live.next()).value).toMatchObject({ position: record.position, changes: [], erasure: record })
    expect(((await notes).value as Commit).changes.map(({ kind }) => kind)).toEqual(['delete'])
  })
})
