/**
 * `npm start`: fills a catalogue, sends customers through it, delivers a part of what they bought, and shows a seller's
 * dashboard. With `-- --http 8080` it stays and serves the application over HTTP, with `-- --path ./data` it keeps the
 * rows on disk.
 */
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { open, SluiceError } from 'sluicedb'
import { httpHandler, toNode } from 'sluicedb/http'
import application from './app.js'
import { add, checkout } from './cart.js'
import { changePrice, list } from './catalogue.js'
import { orders, orderStatuses } from './orders.js'
import { declinedCard } from './payment.js'
import { dashboard, deliver, shipping } from './shipping.js'
import { stock } from './stock.js'

const { values } = parseArgs({ options: { http: { type: 'string' }, path: { type: 'string' } } })
const products = ['tea', 'pot', 'cup', 'lamp', 'rug', 'tent']
const sellers = ['ann', 'bob', 'eve']
const customers = 200

const db = await open(application, { workers: 1, path: values.path })
if (db.table(stock.tables.item).count() === 0) {
  for (const [n, product] of products.entries())
    await db.call(list, { product, seller: sellers[n % sellers.length]!, price: 100 * (n + 1), count: 120 })
}

// Everybody at once, each with two lines and a card; every tenth card is declined, and some ask for more than there is.
const ended = new Map<string, number>()
await Promise.all(Array.from({ length: customers }, (_, n) => shop(n)))
console.log('checkouts', Object.fromEntries([...ended].sort()))

async function shop(n: number): Promise<void> {
  const customer = `customer-${n}`
  for (const step of [0, 1])
    await db.call(add, { customer, product: products[(n + step) % products.length]!, count: 1 + (n % 4) })
  if (n === customers / 2) await db.call(changePrice, { product: 'tea', price: 120 }) // in the middle of it all
  const card = n % 10 === 9 ? declinedCard : '4111111111111111'
  const how = await db.call(checkout, { customer, card }).then(
    () => 'done',
    (error: unknown) => (SluiceError.is(error) ? (error.reason ?? error.code) : 'failed'),
  )
  ended.set(how, (ended.get(how) ?? 0) + 1)
}

for (let round = 0; round < 20; round += 1)
  await Promise.all(sellers.map((seller) => db.call(deliver, { seller })))

{
  using moment = db.snapshot() // one moment of everything, whatever goes on meanwhile
  const statuses = [...moment.table(orders.tables.order)].map((order) => order.status)
  console.log('orders', Object.fromEntries(orderStatuses.map((one) => [one, statuses.filter((status) => status === one).length])))

  // What was sold and what is left is what there was: nothing is reserved between transactions, nothing lost.
  const items = [...moment.table(stock.tables.item)]
  const left = items.reduce((sum, item) => sum + item.available + item.reserved, 0)
  const sold = [...moment.table(shipping.tables.parcel)].reduce((sum, parcel) => sum + parcel.count, 0)
  console.log('stock', { left, sold, together: left + sold, reserved: items.reduce((sum, item) => sum + item.reserved, 0) })
}

const { parcels, amount, list: waiting } = await db.call(dashboard, { seller: 'ann' })
console.log('ann has to deliver', { parcels, amount, next: waiting[0]?.product })

while (db.stats().handlers.some(({ isBehind }) => isBehind)) await new Promise((resolve) => setTimeout(resolve, 1))
console.log('running low', [...db.table(stock.tables.note)].map(({ product }) => product).sort())

if (values.http === undefined) await db.close()
else {
  const server = createServer(toNode(httpHandler(db, { expose: { events: [stock.events.ranLow] } })))
  server.listen(Number(values.http), () => {
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : values.http
    console.log(`http://localhost:${port}/openapi.json; POST /call/shipping/dashboard {"seller":"ann"}; Ctrl-C ends it`)
  })
  process.once('SIGINT', () => server.close(() => void db.close()).closeAllConnections())
}
