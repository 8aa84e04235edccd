/** YCSB with lmdb-js. A value is read and written whole, so an update of one field is a read, too. */
import { inFlightPlay } from './in-flight.mjs'
import { openTables } from './lmdb-open.mjs'

export async function ycsbRows({ plan, data, directory, options }) {
  const { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText, modifiedText } = data.ycsb
  const { root, tables: [user] } = openTables(directory, ['user'], options)
  const newRow = (key) => {
    const [field0, field1, field2, field3, field4, field5, field6, field7, field8, field9] = newFields(key)
    return { field0, field1, field2, field3, field4, field5, field6, field7, field8, field9 }
  }
  await user.transaction(() => {
    for (let number = 0; number < plan.rows; number += 1) user.put(rowKey(number), newRow(rowKey(number)))
  })
  await root.flushed

  const witness = new YcsbWitness(plan)
  const change = (key, field, text) => root.transaction(() => {
    const row = user.get(key)
    row[fieldNames[field]] = text(row[fieldNames[field]])
    user.put(key, row)
  })
  const operate = (index) => {
    const key = plan.key[index]
    const detail = plan.detail[index]
    switch (ycsbKinds[plan.kind[index]]) {
      case 'read': {
        const row = user.get(key)
        return witness.sawRow(row.field0, row.field9)
      }
      case 'scan': {
        const rows = user.getRange({ start: key, limit: detail }).asArray
        return witness.sawRows(rows[0].value.field0, rows[0].value.field9, rows.length)
      }
      case 'update':
        return change(key, detail, () => fieldText(key, detail, index + 1))
      case 'insert':
        return user.put(key, newRow(key))
      case 'modify':
        return change(key, detail, modifiedText)
    }
  }
  const { inFlight = 1 } = options
  const play = inFlightPlay(inFlight, operate)
  return {
    play(first, count, latency) {
      witness.round(first, count)
      return play(first, count, latency)
    },
    digest() {
      for (const { key, value } of user.getRange()) witness.row(key, fieldNames.map((name) => value[name]))
      return witness.digest()
    },
    close: () => root.close(),
  }
}
