/**
 * YCSB with better-sqlite3: the key is the rowid. A table WITHOUT ROWID would keep its rows of one kilobyte in an index tree, where each
 * overflows its page. Outside of a group an operation of one statement is a transaction by itself.
 */
import { groupedPlay, loaded, openDatabase, transactions } from './better-sqlite3-open.mjs'

export function ycsbRows({ plan, data, directory, options }) {
  const { YcsbWitness, ycsbKinds, rowKey, newFields, fieldNames, fieldText, modifiedText } = data.ycsb
  const db = openDatabase(directory, options)
  db.exec(`CREATE TABLE user (key INTEGER PRIMARY KEY, ${fieldNames.map((name) => `${name} TEXT NOT NULL`).join(', ')})`)
  const insert = db.prepare(`INSERT INTO user VALUES (?, ${fieldNames.map(() => '?').join(', ')})`)
  const read = db.prepare('SELECT * FROM user WHERE key = ?')
  const scan = db.prepare('SELECT * FROM user WHERE key >= ? ORDER BY key LIMIT ?')
  const get = fieldNames.map((name) => db.prepare(`SELECT ${name} FROM user WHERE key = ?`).pluck())
  const set = fieldNames.map((name) => db.prepare(`UPDATE user SET ${name} = ? WHERE key = ?`))
  loaded(db, options, () => {
    for (let number = 0; number < plan.rows; number += 1) insert.run(rowKey(number), ...newFields(rowKey(number)))
  })

  const witness = new YcsbWitness(plan)
  const inTransaction = transactions(db)
  const modify = (key, field) => set[field].run(modifiedText(get[field].get(key)), key)
  const operate = (index) => {
    const key = plan.key[index]
    const detail = plan.detail[index]
    switch (ycsbKinds[plan.kind[index]]) {
      case 'read': {
        const row = read.get(key)
        return witness.sawRow(row.field0, row.field9)
      }
      case 'scan': {
        const rows = scan.all(key, detail)
        return witness.sawRows(rows[0].field0, rows[0].field9, rows.length)
      }
      case 'update':
        return set[detail].run(fieldText(key, detail, index + 1), key)
      case 'insert':
        return insert.run(key, ...newFields(key))
      case 'modify':
        return modify(key, detail)
    }
  }
  const alone = (index) =>
    ycsbKinds[plan.kind[index]] === 'modify' ? inTransaction(() => operate(index)) : operate(index)
  const play = groupedPlay(db, options, operate, alone)
  return {
    play(first, count, latency) {
      witness.round(first, count)
      play(first, count, latency)
    },
    digest() {
      for (const { key, ...row } of db.prepare('SELECT * FROM user').iterate()) witness.row(key, Object.values(row))
      return witness.digest()
    },
    close: () => db.close(),
  }
}
