/**
 * NewOrder of TPC-C in Redis, as one script: rows are hashes, orders and their lines packed texts, the undelivered orders of a district a
 * sorted set. The script looks at all items before it writes, because Redis undoes nothing. The other transactions are not here.
 */
import { pipelinedPlay, startDurable } from './redis-open.mjs'
import { rowsOf } from './tpcc-transactions.mjs'

const script = `
  local w, d, c, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
  local count = (#ARGV - 4) / 3
  local items = {}
  for place = 1, count do
    local item = redis.call('HMGET', 'i:' .. ARGV[2 + 3 * place], 'price', 'data')
    if not item[1] then return 0 end
    items[place] = item
  end
  local tax = redis.call('HGET', 'w:' .. w, 'tax')
  local district = 'd:' .. w .. ':' .. d
  local o = redis.call('HINCRBY', district, 'nextOrder', 1) - 1
  tax = tax + redis.call('HGET', district, 'tax')
  local discount = redis.call('HGET', 'c:' .. w .. ':' .. d .. ':' .. c, 'discount')
  local order = w .. ':' .. d .. ':' .. o
  local dist = 'dist' .. d
  local sum = 0
  local brands = ''
  local allLocal = 1
  local lines = {}
  for place = 1, count do
    local i, supplier, quantity = ARGV[2 + 3 * place], ARGV[3 + 3 * place], tonumber(ARGV[4 + 3 * place])
    local key = 's:' .. supplier .. ':' .. i
    local stock = redis.call('HMGET', key, 'quantity', 'ytd', 'orderCount', 'remoteCount', 'data', dist)
    local left = stock[1] - quantity
    if left < 10 then left = left + 91 end
    local isRemote = supplier ~= w and 1 or 0
    if isRemote == 1 then allLocal = 0 end
    redis.call('HSET', key, 'quantity', left, 'ytd', stock[2] + quantity, 'orderCount', stock[3] + 1, 'remoteCount', stock[4] + isRemote)
    local amount = quantity * items[place][1]
    sum = sum + amount
    local isBrand = string.find(items[place][2], 'ORIGINAL', 1, true) and string.find(stock[5], 'ORIGINAL', 1, true)
    brands = brands .. (isBrand and 'B' or 'G')
    lines[2 * place - 1] = place
    lines[2 * place] = i .. ' ' .. supplier .. ' - ' .. quantity .. ' ' .. amount .. ' ' .. stock[6]
  end
  redis.call('SET', 'o:' .. order, c .. ' ' .. now .. ' - ' .. count .. ' ' .. allLocal)
  redis.call('ZADD', 'n:' .. w .. ':' .. d, o, o)
  redis.call('HSET', 'l:' .. order, unpack(lines))
  local total = math.floor(sum * ((10000 - discount) / 10000) * (1 + tax / 10000) + 0.5)
  return {o, total, brands}
`

const chunk = 4_096
const districts = 10

export async function tpccWarehouses({ plan, data, directory, options }) {
  if (plan.mix !== 'newOrder') throw new TypeError(`Redis plays NewOrder, not "${plan.mix}"`)
  const { Population, tpccInput, tpccDigest, tallyOf } = data.tpcc
  const server = await startDurable(directory)
  const { connection } = server
  const hash = await connection.ask(['SCRIPT', 'LOAD', script])
  await load(connection, new Population(plan))

  const commandOf = (index) => {
    const { w, d, c, lines } = tpccInput(plan, index).input
    const words = ['EVALSHA', hash, 0, w, d, c, Date.now()]
    for (const { item, supplier, quantity } of lines) words.push(item, supplier, quantity)
    return words
  }
  return {
    play: pipelinedPlay(connection, options.inFlight ?? 1, commandOf, () => {}),
    digest: async () => tpccDigest(tallyOf(await stateOf(connection, plan))),
    close: () => server.kill(),
  }
}

async function load(connection, population) {
  let asked = []
  const send = (...words) => void asked.push(connection.ask(words))
  const hashOf = (key, fields) => send('HSET', key, ...Object.entries(fields).flat())
  let lines = []
  const packed = (value) => value ?? '-'
  const flushLines = () => {
    if (lines.length === 0) return
    const [{ w, d, o }] = lines
    const words = lines.flatMap((line) => {
      const { n, item, supplier, delivered, quantity, amount, distInfo } = line
      return [n, `${item} ${supplier} ${packed(delivered)} ${quantity} ${amount} ${distInfo}`]
    })
    send('HSET', `l:${w}:${d}:${o}`, ...words)
    lines = []
  }
  const take = {
    item: ({ i, ...row }) => hashOf(`i:${i}`, row),
    warehouse: ({ w, ...row }) => hashOf(`w:${w}`, row),
    district: ({ w, d, ...row }) => hashOf(`d:${w}:${d}`, row),
    stock: ({ w, i, ...row }) => hashOf(`s:${w}:${i}`, row),
    customer: ({ w, d, c, ...row }) => hashOf(`c:${w}:${d}:${c}`, row),
    history: ({ cw, cd, c, seq, w, d, date, amount, data }) =>
      send('SET', `h:${cw}:${cd}:${c}:${seq}`, `${w} ${d} ${date} ${amount} ${data}`),
    order({ w, d, o, c, entered, carrier, lineCount, allLocal }) {
      flushLines()
      send('SET', `o:${w}:${d}:${o}`, `${c} ${entered} ${packed(carrier)} ${lineCount} ${allLocal ? 1 : 0}`)
    },
    orderLine: (row) => void lines.push(row),
    newOrder({ w, d, o }) {
      flushLines()
      send('ZADD', `n:${w}:${d}`, o, o)
    },
  }
  for (const [table, row] of rowsOf(population)) {
    take[table](row)
    if (asked.length < chunk) continue
    await Promise.all(asked)
    asked = []
  }
  flushLines()
  await Promise.all(asked)
}

async function stateOf(connection, { warehouses, scale }) {
  const { items, customers } = scale
  const warehouse = []
  const district = []
  const stock = []
  const customer = []
  const orderLine = []
  const [order, newOrder] = [[], []]
  const numbers = (values) => values.map(Number)
  for (let w = 1; w <= warehouses; w += 1) {
    const [ytd] = numbers(await connection.ask(['HMGET', `w:${w}`, 'ytd']))
    warehouse.push({ w, ytd })
    await each(connection, 1, items, (i) => ['HMGET', `s:${w}:${i}`, 'quantity', 'ytd', 'orderCount', 'remoteCount'], (i, reply) => {
      const [quantity, ytdOfStock, orderCount, remoteCount] = numbers(reply)
      stock.push({ i, quantity, ytd: ytdOfStock, orderCount, remoteCount })
    })
    for (let d = 1; d <= districts; d += 1) {
      const [ytdOfDistrict, nextOrder] = numbers(await connection.ask(['HMGET', `d:${w}:${d}`, 'ytd', 'nextOrder']))
      district.push({ w, d, ytd: ytdOfDistrict, nextOrder })
      const columns = ['ytdPayment', 'paymentCount', 'deliveryCount']
      await each(connection, 1, customers, (c) => ['HMGET', `c:${w}:${d}:${c}`, ...columns], (c, reply) => {
        const [ytdPayment, paymentCount, deliveryCount] = numbers(reply)
        customer.push({ c, ytdPayment, paymentCount, deliveryCount })
      })
      await each(connection, 1, nextOrder - 1, (o) => ['GET', `o:${w}:${d}:${o}`], (o, text) => {
        if (text !== null) order.push({ o })
      })
      await each(connection, 1, nextOrder - 1, (o) => ['HVALS', `l:${w}:${d}:${o}`], (_, lines) => {
        for (const line of lines) orderLine.push({ amount: Number(line.split(' ')[4]) })
      })
      const undelivered = await connection.ask(['ZCARD', `n:${w}:${d}`])
      for (let count = 0; count < undelivered; count += 1) newOrder.push({})
    }
  }
  const history = []
  let cursor = '0'
  do {
    const [next, keys] = await connection.ask(['SCAN', cursor, 'MATCH', 'h:*', 'COUNT', chunk])
    history.push(...keys)
    cursor = next
  } while (cursor !== '0')
  return { warehouse, district, stock, customer, order, orderLine, newOrder, history }
}

/** Asks for the numbers `first` to `last`, `chunk` at a time. */
async function each(connection, first, last, commandOf, take) {
  for (let start = first; start <= last; start += chunk) {
    const end = Math.min(start + chunk - 1, last)
    const asked = []
    for (let number = start; number <= end; number += 1) asked.push(connection.ask(commandOf(number)))
    for (const [offset, reply] of (await Promise.all(asked)).entries()) take(start + offset, reply)
  }
}
