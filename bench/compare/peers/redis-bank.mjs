/**
 * The bank in Redis: an account is a hash, a row of the ledger a short text under the transfer's number, a transfer a
 * script, which is Redis' transaction. In the append-only file it stands as its effects between MULTI and EXEC.
 */
const script = `
  local payer = redis.call('HGET', KEYS[1], 'balance')
  if not payer or tonumber(payer) < tonumber(ARGV[1]) or redis.call('EXISTS', KEYS[2]) == 0 then
    return redis.error_reply('NOT_POSSIBLE')
  end
  redis.call('HINCRBY', KEYS[2], 'balance', ARGV[1])
  redis.call('SET', KEYS[3], ARGV[2])
  return redis.call('HINCRBY', KEYS[1], 'balance', -ARGV[1])
`

export const chunk = 4_096

/** Sends the commands of the numbers `first` to `end`, `chunk` at a time. `take` gets each number with its reply. */
export async function inChunks(connection, first, end, commandOf, take = () => {}) {
  for (let start = first; start < end; start += chunk) {
    const asked = []
    for (let index = start; index < Math.min(start + chunk, end); index += 1) asked.push(connection.ask(commandOf(index)))
    for (const [offset, reply] of (await Promise.all(asked)).entries()) take(start + offset, reply)
  }
}

export async function openBank({ plan, data }, connection) {
  await inChunks(connection, 0, plan.accounts, (id) => {
    const { owner, balance } = data.accountRow(id)
    return ['HSET', `a:${id}`, 'owner', owner, 'balance', balance]
  })
}

/** The command of transfer `index`. */
export async function transferCommand({ plan }, connection) {
  const hash = await connection.ask(['SCRIPT', 'LOAD', script])
  return (index) => {
    const from = plan.from[index]
    const to = plan.to[index]
    const amount = plan.amount[index]
    return ['EVALSHA', hash, 3, `a:${from}`, `a:${to}`, `l:${index}`, amount, `${from} ${to} ${amount}`]
  }
}

export async function digestOfBank({ plan, data }, connection) {
  const balances = new Float64Array(plan.accounts)
  await inChunks(connection, 0, plan.accounts, (id) => ['HGET', `a:${id}`, 'balance'], (id, text) => {
    balances[id] = Number(text)
  })
  return data.bankDigest(balances, (await connection.ask(['DBSIZE'])) - plan.accounts)
}
