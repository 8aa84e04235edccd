/**
 * Erasing a subject: nothing of it is left in any file, everything else is where it was.
 *
 * The marker stands wherever a value of a subject can stand: in keys, inline texts, long values, json, indexes, events, results and ids of
 * calls. Files are searched byte by byte.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { app, column as c, service, table, type Commit, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { newFolder, openFor, openOnce, refused, take } from '../support/fixture.js'

const shop = service('shop', {
  tables: {
    customer: table({ columns: { email: c.text().subject(), name: c.text(), notes: c.text().nullable() }, key: ['email'], indexes: { byName: { on: ['name'], range: true } } }),
    order: table({
      columns: { id: c.int(), customer: c.text().nullable().subject(), address: c.text().nullable(), extra: c.json<unknown>().nullable(), total: c.int() },
      key: ['id'],
      indexes: { byCustomer: { on: ['customer'] } },
      erase: { columns: ['address', 'extra'] },
    }),
    item: table({ columns: { id: c.int(), owner: c.text().subject(), text: c.text() }, key: ['id'], ordered: true }),
  },
  events: { ordered: { customer: c.text().subject(), total: c.int() }, counted: { total: c.int() } },
})
const { customer, order, item } = shop.tables
const register = shop.procedure('register', { input: { email: c.text(), name: c.text(), notes: c.text().nullable() } }, (tx, it) => {
  tx.db.customer.put(it)
  return `welcome ${it.email}`
})
const buy = shop.procedure('buy', { input: { id: c.int(), customer: c.text(), address: c.text(), total: c.int() } }, (tx, it) => {
  tx.db.order.put({ ...it, extra: { to: it.address, lines: [it.customer] } })
  tx.emit('ordered', { customer: it.customer, total: it.total })
  tx.emit('counted', { total: it.total })
  return it.id
})
const give = shop.procedure('give', { input: { id: c.int(), owner: c.text(), text: c.text() } }, (tx, it) => void tx.db.item.put(it))
const drop = shop.procedure('drop', { input: { id: c.int() } }, (tx, it) => void tx.db.item.delete(it.id))
const application = app(import.meta.url, [shop])

const ann = 'ann-7f3e9c@example.org'
const bob = 'bob@example.org'
const long = (who: string): string => `${who} lives far away, `.repeat(40)

/** Where a text stands in the files of a database. */
function filesWith(path: string, text: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const file = join(path, name)
    return statSync(file).isFile() && readFileSync(file).includes(text)
  })
}

async function fill(db: Database): Promise<void> {
  for (const who of [ann, bob]) {
    await db.call(register, { email: who, name: `Name of ${who}`, notes: long(who) }, { id: `register ${who}` })
    await db.call(register, { email: who, name: who, notes: who }, { id: `again:${who}` })
  }
  await db.call(buy, { id: 1, customer: ann, address: long(ann), total: 10 }, { id: 'buy-1' })
  await db.call(buy, { id: 2, customer: bob, address: long(bob), total: 20 }, { id: 'buy-2' })
  await db.call(buy, { id: 1, customer: ann, address: 'short', total: 11 })
  await db.call(give, { id: 1, owner: bob, text: 'from bob' })
  await db.call(give, { id: 1, owner: ann, text: long(ann) })
  await db.call(give, { id: 1, owner: ann, text: `now ${ann}` })
  await db.call(give, { id: 1, owner: bob, text: 'back at bob' })
  await db.call(give, { id: 2, owner: ann, text: 'x' })
  await db.call(drop, { id: 2 })
  await db.call(give, { id: 3, owner: ann, text: 'y' })
}

async function commitsOf(db: Database): Promise<Commit[]> {
  const last = db.stats().position
  const commits: Commit[] = []
  for await (const commit of db.changes({ from: 'beginning' })) {
    commits.push(commit)
    if (commit.position >= last) break
  }
  return commits
}

const seen = (commits: readonly Commit[]): string => JSON.stringify(commits)

test('§8.20 (deleted events stay visible until somebody scavenges, KurrentDB): the raw bytes of a subject are gone from log, checkpoints and recorded answers; positions are unchanged', { timeout: 120_000 }, async () => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os', checkpoint: { logBytes: Infinity } })
  await fill(db)
  await db.checkpoint()
  await db.call(give, { id: 4, owner: ann, text: long(ann) })
  await db.checkpoint()
  await db.call(give, { id: 5, owner: ann, text: ann })
  const before = await commitsOf(db)
  expect(filesWith(path, ann).length).toBeGreaterThan(2)

  const record = await db.erase(ann)
  expect(filesWith(path, ann)).toEqual([])
  expect(filesWith(path, 'lives far away').length).toBeGreaterThan(0) // bob's
  expect(record.tables).toEqual({ 'shop.customer': { rows: 1, changes: 3 }, 'shop.item': { rows: 3, changes: 11 }, 'shop.order': { rows: 1, changes: 3 } })
  expect(record).toMatchObject({ events: 2, answers: 3 })
  expect(record.segments.reduce((sum, { frames }) => sum + frames, 0)).toBeGreaterThan(8)
  expect(record.checkpoints.map(({ name }) => name).sort()).toEqual(['a', 'b'])
  expect(db.erasures(ann)).toEqual([record])
  expect(db.erasures(bob)).toEqual([])

  const check = async (it: Database): Promise<void> => {
    expect([...it.table(customer)].map(({ email }) => email)).toEqual([bob])
    expect(it.table(order).get(1)).toEqual({ id: 1, customer: null, address: null, extra: null, total: 11 })
    expect([...it.table(item)]).toEqual([{ id: 1, owner: bob, text: 'back at bob' }])
    const after = await commitsOf(it)
    expect(seen(after)).not.toContain(ann)
    const positions = after.map(({ position }) => position)
    expect(before.map(({ position }) => position).filter((position) => !positions.includes(position))).toEqual([])
    expect(after.filter(({ erased }) => erased === true).length).toBeGreaterThan(8)
    expect(after.at(-1)!.erasure).toEqual(record)
    const past = await it.asOf(before.find(({ changes }) => changes.some((one) => one.table === 'shop.item'))!.position)
    expect([...past.table(customer)].map(({ email }) => email)).toEqual([bob])
    expect([...past.table(order)].map((row) => [row.id, row.customer, row.total])).toEqual([[1, null, 11], [2, bob, 20]])
    past.close()
    // Other answers are what they were.
    expect(await it.submit(register, { email: bob, name: `Name of ${bob}`, notes: long(bob) }, { id: `register ${bob}` })).toMatchObject({ value: `welcome ${bob}`, repeated: true })
    expect(await it.submit(buy, { id: 1, customer: ann, address: long(ann), total: 10 }, { id: 'buy-1' })).toMatchObject({ value: undefined, repeated: true })
  }
  await check(db)
  await db.close()
  expect(filesWith(path, ann)).toEqual([])
  const again = await openFor(application, { path, durability: 'os' })
  await check(again)
})

test('a database without a path erases what memory holds, and a subject that comes back is a new one', async () => {
  const db = await openFor(application)
  await fill(db)
  const live = db.changes()
  await db.erase(ann)
  const commits = await commitsOf(db)
  expect(seen(commits)).not.toContain(ann)
  expect(seen(await take(live, 2))).not.toContain(ann)
  expect(db.table(item).get(1)).toEqual({ id: 1, owner: bob, text: 'back at bob' })
  await db.call(give, { id: 9, owner: ann, text: 'new' })
  expect(db.table(item).get(9)?.owner).toBe(ann)
  expect(db.erasures()).toHaveLength(1)
  await db.erase(ann)
  expect(db.table(item).get(9)).toBeUndefined()
  expect(db.erasures(ann)).toHaveLength(2)
})

test('an erasure tells how far it is, and what its listener throws does not stop it', async () => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os' })
  await fill(db)
  await db.checkpoint()
  const told: string[] = []
  await db.erase(ann, { onProgress: ({ step, part }) => void told.push(`${step} ${part}`) })
  expect(told[0]).toBe('taking rows away 0')
  expect(told.slice(1).map((one) => one.replace(/ [\d.e-]+$/, '')).filter((step, n, all) => step !== all[n - 1])).toEqual(['rewriting the log', 'making the checkpoints anew'])
  expect(told).toContain('rewriting the log 1')
  expect(told.at(-1)).toBe('making the checkpoints anew 1')

  const mistake = (): void => {
    throw new RangeError('a mistake of the listener')
  }
  await expect(db.erase(bob, { onProgress: mistake })).rejects.toThrow('a mistake of the listener')
  expect(db.erasures(bob)).toHaveLength(1)
  expect(filesWith(path, bob)).toEqual([])
  await refused(db.erase(ann, { onProgress: 1 as never }), 'INVALID_USE')
})

test('a subject that is nobody, and what is no subject, are refused or nothing', async () => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os' })
  await fill(db)
  const record = await db.erase('nobody@example.org')
  expect(record).toMatchObject({ tables: {}, events: 0, answers: 0, segments: [], checkpoints: [] })
  for (const wrong of ['', 1.5, null, undefined, {}, 'x'.repeat(1_025)]) await refused(db.erase(wrong as never), 'INVALID_USE')
  await refused(db.erase(ann, { signal: AbortSignal.abort() }), 'CANCELLED')
  expect(db.table(customer).get(ann)).toBeDefined()
  const plain = service('plain', { tables: { row: table({ columns: { id: c.int() }, key: ['id'] }) } })
  const bare = await openOnce(app(import.meta.url, [plain]))
  expect((await refused(bare.erase('a'), 'INVALID_USE')).message).toContain('.subject()')
  await bare.close()
})
