/**
 * YCSB in Redis: a row is a hash. Scans (e) go through a sorted set of the keys, which costs inserts another command, in a script
 * with the first one; no other workload pays for it.
 */
import { inChunks } from './redis-bank.mjs'
import { pipelinedPlay, startDurable } from './redis-open.mjs'

const scanScript = `
  local rows = {}
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', 'keys', ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])) do
    rows[#rows + 1] = redis.call('HVALS', 'u:' .. key)
  end
  return rows
`
const insertScript = `
  redis.call('HSET', 'u:' .. ARGV[1], unpack(ARGV, 2))
  return redis.call('ZADD', 'keys', ARGV[1], ARGV[1])
`
const modifyScript = `
  local text = redis.call('HGET', KEYS[1], ARGV[1])
  local version = tonumber(string.sub(text, 1, 10)) + 1
  return redis.call('HSET', KEYS[1], ARGV[1], string.format('%010d', version) .. string.sub(text, 11))
`

export async function ycsbRows({ plan, data, directory, options }) {
  const { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText } = data.ycsb
  const server = await startDurable(directory)
  const { connection } = server
  const [scan, insert, modify] = await Promise.all(
    [scanScript, insertScript, modifyScript].map((script) => connection.ask(['SCRIPT', 'LOAD', script])))
  const isSorted = plan.workload === 'e'
  const insertion = (key) => {
    const fields = newFields(key).flatMap((text, field) => [fieldNames[field], text])
    return isSorted ? ['EVALSHA', insert, 0, key, ...fields] : ['HSET', `u:${key}`, ...fields]
  }
  await inChunks(connection, 0, plan.rows, (number) => insertion(rowKey(number)))

  const witness = new YcsbWitness(plan)
  const commandOf = (index) => {
    const key = plan.key[index]
    const detail = plan.detail[index]
    switch (ycsbKinds[plan.kind[index]]) {
      case 'read':
        return ['HVALS', `u:${key}`]
      case 'scan':
        return ['EVALSHA', scan, 0, key, detail]
      case 'update':
        return ['HSET', `u:${key}`, fieldNames[detail], fieldText(key, detail, index + 1)]
      case 'insert':
        return insertion(key)
      case 'modify':
        return ['EVALSHA', modify, 1, `u:${key}`, fieldNames[detail]]
    }
  }
  const answered = (index, reply) => {
    const kind = ycsbKinds[plan.kind[index]]
    if (kind === 'read') witness.sawRow(reply[0], reply[9])
    if (kind === 'scan') witness.sawRows(reply[0][0], reply[0][9], reply.length)
  }
  const play = pipelinedPlay(connection, options.inFlight ?? 1, commandOf, answered)
  return {
    play(first, count, latency) {
      witness.round(first, count)
      return play(first, count, latency)
    },
    async digest() {
      let cursor = '0'
      do {
        const [next, names] = await connection.ask(['SCAN', cursor, 'MATCH', 'u:*', 'COUNT', 4_096])
        const rows = await Promise.all(names.map((name) => connection.ask(['HMGET', name, ...fieldNames])))
        for (const [place, row] of rows.entries()) witness.row(Number(names[place].slice(2)), row)
        cursor = next
      } while (cursor !== '0')
      return witness.digest()
    },
    close: () => server.kill(),
  }
}
