/**
 * What a transaction does, as data, and the one interpreter for it. The same lines run against the real
 * `tx` (in a procedure, on any worker) and against the model's `tx` (plain maps), so the two can only
 * differ where the engine and the model differ.
 *
 * Results hold plain data only: an absent row is 'none', an accessor is copied column by column.
 */
export type Key = unknown
export type Range = Readonly<Record<string, unknown>>

export type Op =
  | { readonly op: 'get' | 'has' | 'delete' | 'row'; readonly table: string; readonly key: Key }
  | { readonly op: 'insert' | 'put'; readonly table: string; readonly row: Readonly<Record<string, unknown>> }
  | {
      readonly op: 'update' | 'updateBy'
      readonly table: string
      readonly key: Key
      readonly patch: Readonly<Record<string, unknown>>
    }
  | {
      readonly op: 'add'
      readonly table: string
      readonly key: Key
      readonly deltas: Readonly<Record<string, unknown>>
    }
  | {
      readonly op: 'set'
      readonly table: string
      readonly key: Key
      readonly columns: Readonly<Record<string, unknown>>
    }
  | { readonly op: 'scan' | 'rows'; readonly table: string; readonly range: Range }
  | {
      readonly op: 'find' | 'findRows'
      readonly table: string
      readonly index: string
      readonly values: unknown
    }
  | { readonly op: 'search'; readonly table: string; readonly index: string; readonly range: Range }
  | {
      readonly op: 'sweep'
      readonly table: string
      readonly range: Range
      readonly column: string
      readonly by: number
      readonly drop: Key
    }
  | {
      readonly op: 'shift'
      readonly table: string
      readonly index: string
      readonly values: unknown
      readonly column: string
      readonly to: unknown
    }
  | { readonly op: 'clear'; readonly table: string; readonly range: Range }
  | { readonly op: 'emit'; readonly payload: Readonly<Record<string, unknown>> }
  | { readonly op: 'call'; readonly script: Script }
  | { readonly op: 'try'; readonly script: Script }
  | { readonly op: 'abort'; readonly reason: string; readonly details: Readonly<Record<string, unknown>> }
  | { readonly op: 'throw'; readonly what: 'error' | 'undefined' | 'text' | 'frozen' }
export type Script = readonly Op[]

export interface ScriptTable {
  get(key: Key): Readonly<Record<string, unknown>> | undefined
  has(key: Key): boolean
  row(key: Key): Record<string, unknown> | undefined
  insert(row: object): unknown
  put(row: object): void
  update(key: Key, patch: object | ((row: Readonly<Record<string, unknown>>) => object)): void
  add(key: Key, deltas: object): void
  delete(key: Key): boolean
  scan?(range?: Range): Iterable<Readonly<Record<string, unknown>>>
  rows?(range?: Range): Iterable<Record<string, unknown>>
  readonly index: Readonly<Record<string, ScriptIndex>>
}
export interface ScriptIndex {
  get(values: unknown): readonly Readonly<Record<string, unknown>>[]
  rows(values: unknown): Iterable<Record<string, unknown>>
  scan?(range?: Range): Iterable<Readonly<Record<string, unknown>>>
}
export interface ScriptTx {
  readonly db: Readonly<Record<string, ScriptTable>>
  emit(event: string, payload: object): void
  abort(reason: string, details?: object): never
}

/** The columns that identify a row of `table` in results: enough to compare, small enough to send. */
export type Columns = Readonly<Record<string, readonly string[]>>

export class Odd extends Error {}

const oddities = {
  error: () => new Odd('the procedure threw this on purpose'),
  undefined: () => undefined,
  text: () => 'just text',
  frozen: () => Object.freeze(new Odd('frozen')),
} as const

export function interpret(
  tx: ScriptTx,
  script: Script,
  columns: Columns,
  callOther: (script: Script) => unknown,
): unknown[] {
  const copy = (table: string, row: Record<string, unknown>) =>
    Object.fromEntries(columns[table]!.map((name) => [name, row[name]]))
  const run = (op: Op): unknown => {
    switch (op.op) {
      case 'call':
        return callOther(op.script)
      case 'try':
        try {
          return interpret(tx, op.script, columns, callOther)
        } catch {
          return 'caught'
        }
      case 'emit':
        return tx.emit('marked', op.payload)
      case 'abort':
        return tx.abort(op.reason, op.details)
      case 'throw':
        throw oddities[op.what]()
    }
    const table = tx.db[op.table]
    if (!table) throw new Error(`the script names no table: ${op.table}`)
    switch (op.op) {
      case 'get':
        return table.get(op.key) ?? 'none'
      case 'has':
        return table.has(op.key)
      case 'delete':
        return table.delete(op.key)
      case 'row': {
        const row = table.row(op.key)
        return row ? copy(op.table, row) : 'none'
      }
      case 'insert':
        return table.insert(op.row)
      case 'put':
        return table.put(op.row)
      case 'update':
        return table.update(op.key, op.patch)
      case 'updateBy': {
        let seen: unknown
        table.update(op.key, (row) => {
          seen = { ...row }
          return op.patch
        })
        return seen
      }
      case 'add':
        return table.add(op.key, op.deltas)
      case 'set': {
        const row = table.row(op.key)
        if (!row) return 'none'
        for (const [name, value] of Object.entries(op.columns)) row[name] = value
        return copy(op.table, row)
      }
      case 'scan':
        return [...table.scan!(op.range)]
      case 'rows':
        return Array.from(table.rows!(op.range), (row) => copy(op.table, row))
      case 'find':
        return [...table.index[op.index]!.get(op.values)]
      case 'findRows':
        return Array.from(table.index[op.index]!.rows(op.values), (row) => copy(op.table, row))
      case 'search':
        return [...table.index[op.index]!.scan!(op.range)]
      case 'sweep': {
        const seen: unknown[] = []
        for (const row of table.rows!(op.range)) {
          const ahead =
            seen.length === 0 &&
            op.drop !== null &&
            JSON.stringify(op.drop) !== JSON.stringify(keyIn(op.table, row))
          if (ahead) table.delete(op.drop)
          row[op.column] = Number(row[op.column]) + op.by
          seen.push(copy(op.table, row))
        }
        return seen
      }
      case 'shift': {
        const seen: unknown[] = []
        for (const row of table.index[op.index]!.rows(op.values)) {
          seen.push(copy(op.table, row))
          row[op.column] = op.to
        }
        return seen
      }
      case 'clear': {
        let count = 0
        for (const row of table.scan!(op.range)) if (table.delete(keyIn(op.table, row))) count += 1
        return count
      }
    }
  }
  const keyIn = (table: string, row: Readonly<Record<string, unknown>>) => {
    const names = columns[`${table} key`]!
    return names.length === 1 ? row[names[0]!] : names.map((name) => row[name])
  }
  return script.map(run).map((result) => (result === undefined ? 'void' : result))
}
