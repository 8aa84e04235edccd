/** YCSB in PostgreSQL: every operation is one prepared statement. */
import { ask, connectionsPlay, insertRows, startServer } from './postgres-server.mjs'

export async function ycsbRows({ plan, data, directory, options }) {
  const { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText } = data.ycsb
  const server = await startServer(directory, options.connections ?? 16)
  const { clients } = server
  const [client] = clients
  const columns = fieldNames.map((name) => `${name} text NOT NULL`).join(', ')
  await client.query(`CREATE TABLE usertable (key bigint PRIMARY KEY, ${columns})`)
  const rowsToLoad = function* () {
    for (let number = 0; number < plan.rows; number += 1) {
      const key = rowKey(number)
      const row = { key }
      for (const [field, text] of newFields(key).entries()) row[fieldNames[field]] = text
      yield row
    }
  }
  const types = { key: 'bigint', ...Object.fromEntries(fieldNames.map((name) => [name, 'text'])) }
  await insertRows(client, 'usertable', types, rowsToLoad(), 1_000)
  await client.query('VACUUM ANALYZE')

  const list = fieldNames.join(', ')
  const read = { name: 'read', text: `SELECT ${list} FROM usertable WHERE key = $1`, rowMode: 'array' }
  const scan = { name: 'scan', text: `SELECT ${list} FROM usertable WHERE key >= $1 ORDER BY key LIMIT $2`, rowMode: 'array' }
  const places = fieldNames.map((_, field) => `$${field + 2}`).join(', ')
  const insert = { name: 'insert', text: `INSERT INTO usertable VALUES ($1, ${places})` }
  const update = fieldNames.map((name) =>
    ({ name: `update ${name}`, text: `UPDATE usertable SET ${name} = $2 WHERE key = $1` }))
  const modify = fieldNames.map((name) => ({
    name: `modify ${name}`,
    text: `UPDATE usertable SET ${name} = lpad((left(${name}, 10)::bigint + 1)::text, 10, '0') || substr(${name}, 11) WHERE key = $1`,
  }))
  const witness = new YcsbWitness(plan)
  const operate = async (on, index) => {
    const key = plan.key[index]
    const detail = plan.detail[index]
    switch (ycsbKinds[plan.kind[index]]) {
      case 'read': {
        const { rows: [row] } = await ask(on, read, [key])
        return witness.sawRow(row[0], row[9])
      }
      case 'scan': {
        const { rows } = await ask(on, scan, [key, detail])
        return witness.sawRows(rows[0][0], rows[0][9], rows.length)
      }
      case 'update':
        return ask(on, update[detail], [key, fieldText(key, detail, index + 1)])
      case 'insert':
        return ask(on, insert, [key, ...newFields(key)])
      case 'modify':
        return ask(on, modify[detail], [key])
    }
  }
  const play = connectionsPlay(clients, operate)
  return {
    play(first, count, latency) {
      witness.round(first, count)
      return play(first, count, latency)
    },
    async digest() {
      const { rows } = await client.query({ text: `SELECT key, ${list} FROM usertable`, rowMode: 'array' })
      for (const [key, ...row] of rows) witness.row(Number(key), row)
      return witness.digest()
    },
    close: () => server.kill(),
  }
}
