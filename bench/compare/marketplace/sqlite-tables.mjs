/**
 * The handles of a transaction (`tx.db.<table>`) over better-sqlite3: prepared statements by key and by index, and rows
 * whose columns are read once and written together. As much as the services of the marketplace use, and no more.
 */
const sqlTypes = { text: 'TEXT', enum: 'TEXT' }
const quoted = (name) => `"${name}"`
const listed = (names) => names.map(quoted).join(', ')
const matched = (names) => names.map((name) => `${quoted(name)} = ?`).join(' AND ')

export class SqliteTable {
  #db
  #table
  #columns
  #names
  #key
  #flags
  #defaults
  #statements = new Map()
  #dirty = new Set()
  index = {}

  constructor(db, name, { columns: { columns }, descriptor }) {
    this.#db = db
    this.#table = quoted(name)
    this.#columns = columns
    this.#names = columns.map((column) => column.name)
    this.#key = descriptor.key.map((ordinal) => this.#names[ordinal])
    this.#flags = columns.filter(({ type }) => type === 'bool').map((column) => column.name)
    this.#defaults = Object.fromEntries(columns.map((column) => {
      const { name, type, values } = column
      const stored = column.default
      return [name, stored === undefined ? null : type === 'enum' ? (values[stored] ?? stored) : stored]
    }))
    for (const { name, on, where } of descriptor.indexes) this.#addIndex(name, on, where)
  }

  /** The statements that make the table and its indexes. */
  static schema(name, { columns: { columns }, descriptor }) {
    const names = columns.map((column) => column.name)
    const rules = ({ min, max }) =>
      (min === undefined ? '' : ` CHECK (value >= ${min})`) + (max === undefined ? '' : ` CHECK (value <= ${max})`)
    const lines = columns.map((column) => {
      const rule = rules(column).replaceAll('value', quoted(column.name))
      return `${quoted(column.name)} ${sqlTypes[column.type] ?? 'INTEGER'}${column.nullable ? '' : ' NOT NULL'}${rule}`
    })
    const key = listed(descriptor.key.map((ordinal) => names[ordinal]))
    const made = [`CREATE TABLE ${quoted(name)} (${lines.join(', ')}, PRIMARY KEY (${key})) WITHOUT ROWID`]
    for (const index of descriptor.indexes) {
      const conditions = conditionsOf(index.where, columns).map(([column, value]) => `${quoted(column)} = ${value}`)
      const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
      const on = listed(index.on.map((ordinal) => names[ordinal]))
      made.push(`CREATE INDEX ${quoted(`${name}_${index.name}`)} ON ${quoted(name)} (${on})${where}`)
    }
    return made
  }

  #statement(sql) {
    let statement = this.#statements.get(sql)
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)))
    return statement
  }

  #select(rest, ...values) {
    this.flush()
    return this.#statement(`SELECT ${listed(this.#names)} FROM ${this.#table} ${rest}`).all(...values).map((row) => this.#read(row))
  }

  #read(row) {
    for (const name of this.#flags) row[name] = row[name] === 1
    return row
  }

  #keyOf(key) {
    return Array.isArray(key) ? key : [key]
  }

  #stored(value) {
    return typeof value === 'boolean' ? Number(value) : value
  }

  get(key) {
    return this.#select(`WHERE ${matched(this.#key)}`, ...this.#keyOf(key))[0]
  }

  has(key) {
    return this.get(key) !== undefined
  }

  count() {
    return this.#statement(`SELECT COUNT(*) AS n FROM ${this.#table}`).get().n
  }

  *[Symbol.iterator]() {
    yield* this.#select('')
  }

  #live(row) {
    const changed = new Map()
    const live = {}
    for (const name of this.#names) {
      Object.defineProperty(live, name, {
        get: () => row[name],
        set: (value) => {
          row[name] = value
          changed.set(name, value)
          this.#dirty.add(write)
        },
      })
    }
    const write = () => {
      this.#write(this.#key.map((name) => row[name]), Object.fromEntries(changed))
      changed.clear()
    }
    return live
  }

  row(key) {
    const row = this.get(key)
    return row && this.#live(row)
  }

  insert(row) {
    this.flush()
    const sql = `INSERT INTO ${this.#table} (${listed(this.#names)}) VALUES (${this.#names.map(() => '?').join(', ')})`
    this.#statement(sql).run(...this.#names.map((name) => this.#stored(row[name] ?? this.#defaults[name])))
  }

  put(row) {
    this.delete(this.#key.map((name) => row[name]))
    this.insert(row)
  }

  #write(key, patch) {
    const names = Object.keys(patch)
    const sql = `UPDATE ${this.#table} SET ${names.map((name) => `${quoted(name)} = ?`).join(', ')} WHERE ${matched(this.#key)}`
    return this.#statement(sql).run(...names.map((name) => this.#stored(patch[name])), ...key).changes
  }

  update(key, patch) {
    this.flush()
    if (this.#write(this.#keyOf(key), patch) === 0) throw new Error(`no row ${String(key)} in ${this.#table}`)
  }

  delete(key) {
    this.flush()
    return this.#statement(`DELETE FROM ${this.#table} WHERE ${matched(this.#key)}`).run(...this.#keyOf(key)).changes > 0
  }

  scan({ prefix = [], limit = -1 }) {
    const where = prefix.length === 0 ? '' : `WHERE ${matched(this.#key.slice(0, prefix.length))}`
    return this.#select(`${where} ORDER BY ${listed(this.#key)} LIMIT ?`, ...prefix, limit)
  }

  rows(range) {
    return this.scan(range).map((row) => this.#live(row))
  }

  #addIndex(name, on, where) {
    const names = on.map((ordinal) => this.#names[ordinal])
    const only = conditionsOf(where, this.#columns).map(([column, value]) => ` AND ${quoted(column)} = ${value}`).join('')
    const get = (values) => this.#select(`WHERE ${matched(names)}${only}`, ...this.#keyOf(values))
    const scan = ({ from, limit = -1 }) =>
      this.#select(`WHERE (${listed(names)}) >= (${names.map(() => '?').join(', ')})${only} ORDER BY ${listed(names)} LIMIT ?`, ...from, limit)
    this.index[name] = { get, scan, rows: (values) => get(values).map((row) => this.#live(row)) }
  }

  /** Writes what was assigned to rows. */
  flush() {
    if (this.#dirty.size === 0) return
    const writes = [...this.#dirty]
    this.#dirty.clear()
    for (const write of writes) write()
  }

  /** Forgets it. */
  forget() {
    this.#dirty.clear()
  }
}

function conditionsOf(where = [], columns) {
  return where.map(({ column, value }) => {
    const { name, type, values } = columns[column]
    if (type === 'enum') return [name, `'${values[value] ?? value}'`]
    return [name, typeof value === 'string' ? `'${value}'` : Number(value)]
  })
}

/** The two queries of a dashboard, as SQL. */
export function entryQueries(db, { openEntries, openOrders }) {
  const sums = ['quantity', 'totalItems', 'totalAmount', 'totalIncentive', 'totalInvoice', 'freight']
    .map((name) => `SUM("${name}") AS "${name}"`).join(', ')
  const open = 'FROM "entry" WHERE "seller" = ? AND "isOpen" = 1'
  const orders = db.prepare(`SELECT "customer", "order", COUNT(*) AS "items", ${sums} ${open} GROUP BY "customer", "order"`)
  const entries = db.prepare(`SELECT * ${open}`)
  return (query, { seller }) => {
    if (query !== openOrders && query !== openEntries) throw new Error('only the dashboard asks here')
    return (query === openOrders ? orders : entries).all(seller)
  }
}
