/** SmallBank in Redis: balances are strings under their customer's number, every transaction is a script, and so its effects are one. */
import { inChunks } from './redis-bank.mjs'
import { pipelinedPlay, startDurable } from './redis-open.mjs'

const exists = (key) => `if redis.call('EXISTS', ${key}) == 0 then return redis.error_reply('NO_SUCH_CUSTOMER') end`
/** KEYS: account, savings and checking of the customer, then account and checking of the other one. */
const scripts = {
  balance: `
    ${exists('KEYS[1]')}
    return redis.call('GET', KEYS[2]) + redis.call('GET', KEYS[3])`,
  deposit: `
    ${exists('KEYS[1]')}
    redis.call('INCRBY', KEYS[3], ARGV[1])
    return 1`,
  transact: `
    ${exists('KEYS[1]')}
    if redis.call('GET', KEYS[2]) + ARGV[1] < 0 then return 0 end
    redis.call('INCRBY', KEYS[2], ARGV[1])
    return 1`,
  amalgamate: `
    ${exists('KEYS[1]')}
    ${exists('KEYS[4]')}
    local moved = redis.call('GET', KEYS[2]) + redis.call('GET', KEYS[3])
    redis.call('SET', KEYS[2], 0)
    redis.call('SET', KEYS[3], 0)
    redis.call('INCRBY', KEYS[5], string.format('%d', moved))
    return moved`,
  writeCheck: `
    ${exists('KEYS[1]')}
    if redis.call('GET', KEYS[2]) + redis.call('GET', KEYS[3]) >= tonumber(ARGV[1]) then
      redis.call('DECRBY', KEYS[3], ARGV[1])
      return 1
    end
    redis.call('DECRBY', KEYS[3], ARGV[1] + 1)
    return 2`,
  sendPayment: `
    ${exists('KEYS[1]')}
    ${exists('KEYS[4]')}
    if tonumber(redis.call('GET', KEYS[3])) < tonumber(ARGV[1]) then return 0 end
    redis.call('DECRBY', KEYS[3], ARGV[1])
    redis.call('INCRBY', KEYS[5], ARGV[1])
    return 1`,
}

export async function smallBankCustomers({ plan, data, directory, options }) {
  const { SmallBankWitness, smallBankKinds, customerRow } = data.smallBank
  const server = await startDurable(directory)
  const { connection } = server
  const hashes = await Promise.all(smallBankKinds.map((kind) => connection.ask(['SCRIPT', 'LOAD', scripts[kind]])))
  await inChunks(connection, 0, plan.customers, (id) => {
    const { name, savings, checking } = customerRow(id)
    return ['MSET', `a:${id}`, name, `s:${id}`, savings, `c:${id}`, checking]
  })

  const witness = new SmallBankWitness(plan)
  const commandOf = (index) => {
    const who = plan.customer[index]
    const other = plan.other[index]
    const keys = [`a:${who}`, `s:${who}`, `c:${who}`]
    const kind = smallBankKinds[plan.kind[index]]
    if (kind === 'amalgamate' || kind === 'sendPayment') keys.push(`a:${other}`, `c:${other}`)
    return ['EVALSHA', hashes[plan.kind[index]], keys.length, ...keys, plan.amount[index]]
  }
  return {
    play: pipelinedPlay(connection, options.inFlight ?? 1, commandOf, (index, reply) => witness.answered(index, reply)),
    async digest() {
      await inChunks(connection, 0, plan.customers, (id) => ['MGET', `s:${id}`, `c:${id}`], (id, [savings, checking]) => {
        witness.customer(id, Number(savings), Number(checking))
      })
      return witness.digest()
    },
    close: () => server.kill(),
  }
}
