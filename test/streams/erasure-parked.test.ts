/** Erasing a subject whose data durable consumers have set aside, or have in memory. docs/erasure.md, docs/consumers.md. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { app, column as c, service, table, type Commit, type Consumer, type Database } from 'sluicedb'
import { expect, test } from 'vitest'
import { newFolder, openFor, openOnce, until } from '../support/fixture.js'

const shop = service('shop', {
  tables: {
    order: table({ columns: { n: c.int(), customer: c.text().subject(), note: c.text() }, key: ['n'], ordered: true }),
    stock: table({ columns: { n: c.int(), left: c.int() }, key: ['n'] }),
  },
  events: { ordered: { customer: c.text().subject(), n: c.int() } },
})
const input = { n: c.int(), customer: c.text(), note: c.text() }
/** With a row of nobody's. */
const order = shop.procedure('order', { input }, (tx, it) => {
  tx.db.order.insert(it)
  tx.db.stock.insert({ n: it.n, left: 1 })
  tx.emit('ordered', { customer: it.customer, n: it.n })
})
/** All of it is the customer's. */
const wish = shop.procedure('wish', { input }, (tx, it) => void tx.db.order.insert(it))
const application = app(import.meta.url, [shop])

const ann = 'ann-7f3e9c@example.org'
const bob = 'bob-11c0de@example.org'
const tables = [shop.tables.order, shop.tables.stock]

function filesWith(path: string, text: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const file = join(path, name)
    return statSync(file).isFile() && readFileSync(file).includes(text)
  })
}
const idle = (consumer: Consumer) => until(() => !consumer.inspect().isBehind, 'the consumer is at the end of the log')
const stockOf = (commit: Commit): unknown => commit.changes.find((change) => change.table === 'shop.stock')?.key
const customerOf = (commit: Commit): string | undefined => commit.changes.map(({ after }) => (after as { customer?: string }).customer).find((one) => one !== undefined)
const once = { limit: 1 }

async function orders(db: Database): Promise<void> {
  await db.call(order, { n: 1, customer: ann, note: `for ${ann}` })
  await db.call(order, { n: 2, customer: bob, note: `for ${bob}` })
  await db.call(wish, { n: 3, customer: ann, note: 'a wish' })
  await db.call(order, { n: 4, customer: ann, note: 'again' })
}

for (const isOpen of [true, false]) {
  test(`§8.20 (deleted events stay visible, KurrentDB): of what is set aside no byte of a subject is left, and everything else goes on (consumers ${isOpen ? 'open' : 'closed'})`, { timeout: 60_000 }, async () => {
    const path = await newFolder()
    const db = await openOnce(application, { path, durability: 'os', checkpoint: { logBytes: Infinity } })
    let isBroken = true
    const seen: string[] = []
    const mail = (it: Database): Promise<Consumer> =>
      it.consumer('mail', { tables, from: 'beginning', key: (commit) => customerOf(commit as Commit), redelivery: once }, (commit) => {
        if (isBroken) throw new Error(`nobody knows ${String(customerOf(commit as Commit))}`)
        seen.push(`${String(stockOf(commit as Commit))} ${String(customerOf(commit as Commit))}`)
      })
    const audit = (it: Database): Promise<Consumer> =>
      it.consumer('audit', { tables, from: 'beginning' }, (commit, delivery) => delivery.terminate(`bad: ${String(customerOf(commit as Commit))}`))
    let consumers = [await mail(db), await audit(db)]
    await orders(db)
    await Promise.all(consumers.map(idle))
    expect(db.consumers.parked('mail').map(({ key, state }) => [key, state])).toEqual([ann, bob, ann, ann].map((who) => [who, 'parked']))
    expect(db.consumers.parked('audit').map(({ state, message }) => [state, message])).toEqual([ann, bob, ann, ann].map((who) => ['dead', `bad: ${who}`]))
    await db.checkpoint()
    await db.checkpoint()
    expect(filesWith(path, ann).length).toBeGreaterThan(2)
    if (!isOpen) for (const consumer of consumers) await consumer.close()

    const record = await db.erase(ann)
    expect(filesWith(path, ann)).toEqual([])
    expect(filesWith(path, bob).length).toBeGreaterThan(2)
    expect(record.tables['$parked']!.rows).toBe(6)
    const check = (it: Database): void => {
      expect(it.consumers.parked('mail').map(({ key, state, message, commit }) => [key, state, message, commit !== undefined])).toEqual([
        [undefined, 'parked', '', false],
        [bob, 'parked', `nobody knows ${bob}`, true],
        [undefined, 'parked', 'What its key came to before is parked.', false],
        [undefined, 'parked', 'What its key came to before is parked.', false],
      ])
      expect(it.consumers.parked('audit').map(({ message, commit }) => [message, commit !== undefined])).toEqual([['', false], [`bad: ${bob}`, true], ['', false], ['', false]])
    }
    check(db)
    if (!isOpen) consumers = [await mail(db), await audit(db)]
    expect(JSON.stringify(consumers[0]!.inspect())).not.toContain(ann)
    isBroken = false
    await db.call(order, { n: 5, customer: ann, note: 'she is back' }) // of a key that stands still nowhere
    await until(() => seen[0] === `5 ${ann}`, 'the new order')
    for (const { position } of db.consumers.parked('mail')) expect(await consumers[0]!.unpark({ position })).toBe(true)
    await until(() => consumers[0]!.inspect().parked === 0, 'nothing is parked')
    await idle(consumers[0]!)
    expect([...seen].sort()).toEqual(['1 undefined', `2 ${bob}`, '4 undefined', `5 ${ann}`]) // nothing is left of the wish
    await db.close()

    const again = await openFor(application, { path, durability: 'os' })
    expect(again.consumers.parked('mail')).toEqual([])
    expect(again.consumers.parked('audit').slice(0, 4).map(({ message }) => message)).toEqual(['', `bad: ${bob}`, '', ''])
    await again.erase(ann)
    expect(filesWith(path, ann)).toEqual([])
  })
}

test('what a consumer had in memory when a subject was erased is neither parked nor handed out as it was', { timeout: 60_000 }, async () => {
  const path = await newFolder()
  const db = await openFor(application, { path, durability: 'os' })
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  const seen: string[] = []
  let began = 0
  const consumer = await db.consumer(
    'slow',
    { tables, from: 'beginning', key: (commit) => customerOf(commit as Commit), concurrency: 1, redelivery: once },
    async (commit) => {
      began += 1
      if (began > 1) seen.push(`${String(stockOf(commit as Commit))} ${String(customerOf(commit as Commit))}`)
      if (began > 1) return
      await gate
      throw new Error(`no ${String(customerOf(commit as Commit))}`)
    },
  )
  await orders(db)
  await until(() => began === 1 && consumer.inspect().waiting === 4, 'all are taken')
  await db.erase(ann)
  letGo()
  await idle(consumer)
  // The first is parked without its key, so the others of its key go on, and one has nothing left.
  expect(consumer.parked().map(({ key, message, commit }) => [key, message, commit!.changes.map(({ table }) => table)])).toEqual([[undefined, '', ['shop.stock']]])
  expect([...seen].sort()).toEqual([`2 ${bob}`, '4 undefined'])
  await db.checkpoint()
  expect(filesWith(path, ann)).toEqual([])
  expect(await consumer.unpark({ position: consumer.parked()[0]!.position })).toBe(true)
  await until(() => consumer.inspect().parked === 0, 'nothing is parked')
  expect(seen.at(-1)).toBe('1 undefined')
})

test('a subject that is called as a consumer is takes none of its calls away: what has committed is not done again', async () => {
  const db = await openFor(application)
  const repeated: boolean[] = []
  const consumer = await db.consumer('ann', { events: [shop.events.ordered], redelivery: once }, async (commit, delivery) => {
    const answer = await delivery.submit(wish, { n: 100, customer: 'eve', note: '' }) // a second time would be CONSTRAINT
    repeated.push(answer.repeated)
    if (repeated.length === 1) throw new Error('later')
  })
  await db.call(order, { n: 1, customer: bob, note: '' })
  await until(() => consumer.parked().length === 1, 'it is parked')
  await db.erase('ann')
  await consumer.unpark()
  await until(() => consumer.inspect().parked === 0, 'it is done')
  expect(repeated).toEqual([false, true])
})
