/**
 * What is between the database and the application that opens it: one line for each thing that is another one, and what it needs.
 *
 *   nothing     every row fits, in whatever layout it was written: the next catalog in the log says what is new
 *   proof       rows may break what is new: they are looked at before anything is opened (engine/schema-change.ts)
 *   copying     rows of a replica, which is kept by the log: they go, and are copied once more from its source if it is still there
 *   migration   no rule says what becomes of the rows: the application must
 *   return      cannot be had at all: the application has to go back
 *
 * Two sides: what bytes say (types, order and nullability of columns, words of enums, keys), and what rows obey. Logs of before
 * the rules were written down say nothing of the second.
 */
import { enumPlaceBytes } from './key-codec.js'
import { everyEventOf, type LoggedCatalog, type LoggedColumn, type LoggedEvent, type LoggedReference, type LoggedRules, type LoggedTable, shapeOfEvent } from './catalog.js'
import { isBeginningOf } from './row-shape.js'
import { ownTablePrefix } from './sequence-table.js'

export type Need = 'nothing' | 'proof' | 'copying' | 'migration' | 'return'

/** What is said to who opens, and is no news to who reads (relaxation.ts). */
export const tableGone = 'in the database, not in the application'
export const withoutDefault = ', without a default'

export interface SchemaDifference {
  readonly need: Need
  /** Full name of the table; undefined for what is of no table. */
  readonly table: string | undefined
  /** `shop.item.n` */
  readonly what: string
  /** `int → text` */
  readonly change: string
  /** The projection or the aggregate that is gone as a whole, and this table with it. */
  readonly whole?: string
  /** The name of a reference that is another one: proved on the rows of two tables, when all are there. */
  readonly reference?: string
}

/** Whether nothing of tables and events is another one, so that every byte of `log` means what it means to `now`. */
export function isUnchanged(log: LoggedCatalog, now: LoggedCatalog): boolean {
  const everythingOf = ({ tables, events, partitions, hasRules, version = 1, retired = {} }: LoggedCatalog): string =>
    JSON.stringify([tables.filter((table) => !table.name.startsWith(ownTablePrefix)), events, partitions, hasRules, version, retired])
  return everythingOf(log) === everythingOf(now)
}

/** `now` as it succeeds `log`. */
export function differencesOf(log: LoggedCatalog, now: LoggedCatalog): readonly SchemaDifference[] {
  const found: SchemaDifference[] = []
  if (log.partitions !== now.partitions) found.push({ need: 'return', table: undefined, what: 'partitions', change: `${log.partitions} in the database, open() says ${now.partitions}` })
  const [was, is] = [log.version ?? 1, now.version ?? 1]
  if (is < was) found.push({ need: 'return', table: undefined, what: 'version', change: `${was} in the database, ${is} in the application` })
  const tables = new Map(now.tables.map((table) => [table.name, table]))
  const names = new Set(log.tables.map((table) => table.name))
  for (const table of log.tables) {
    if (table.name.startsWith(ownTablePrefix)) continue // every store has it
    const next = tables.get(table.name)
    if (next === undefined) found.push({ need: table.copyOf === undefined ? 'migration' : 'copying', table: table.name, what: table.name, change: tableGone, ...wholeThatIsGone(table.name, names, tables) })
    else {
      const isCopy = table.copyOf !== undefined && next.copyOf !== undefined
      found.push(...ofTable(table, next, log.hasRules === true).map((one) => (isCopy && one.need !== 'nothing' ? { ...one, need: 'copying' as const } : one)))
    }
  }
  for (const table of now.tables) {
    if (!names.has(table.name) && !table.name.startsWith(ownTablePrefix)) found.push({ need: 'nothing', table: table.name, what: table.name, change: 'new' })
  }
  const events = new Map(now.events.map((event) => [event.name, event]))
  for (const event of everyEventOf(log)) {
    const next = events.get(event.name)
    if (next !== undefined) found.push(...ofEvent(event, next))
  }
  return found
}

/** Of a table of three or more name parts whose owner, the first two, has no table any more. */
function wholeThatIsGone(table: string, before: ReadonlySet<string>, now: ReadonlyMap<string, unknown>): { readonly whole?: string } {
  const whole = ownerOf(table)
  return whole === undefined || before.has(whole) || [...now.keys()].some((name) => ownerOf(name) === whole) ? {} : { whole }
}

/** `report.totals`, of its table `report.totals.blue.total`; undefined of a table of a service. */
export function ownerOf(table: string): string | undefined {
  const parts = table.split('.')
  return parts.length > 2 ? parts.slice(0, 2).join('.') : undefined
}

/** Recorded events stay what they are: only what is filled in may be new. */
function ofEvent(was: LoggedEvent, is: LoggedEvent): SchemaDifference[] {
  const [before, now] = [shapeOfEvent(was), shapeOfEvent(is)]
  // A shape of another number is read through the steps between the two.
  if (before !== now) return [{ need: now > before ? 'nothing' : 'return', table: undefined, what: was.name, change: `shape ${before} → ${now}` }]
  return ofColumns(was.name, undefined, was.columns, is.columns, new Set()).map((one) => (one.need === 'nothing' ? one : { ...one, need: 'return' as const }))
}

function ofTable(was: LoggedTable, is: LoggedTable, hasRules: boolean): SchemaDifference[] {
  const of = (need: Need, what: string, change: string): SchemaDifference => ({ need, table: was.name, what, change })
  const found = ofColumns(was.name, was.name, was.columns, is.columns, new Set([...was.key, ...is.key]))
  if (hasRules) for (const column of is.columns) found.push(...ofRules(was, column))
  if (was.key.join() !== is.key.join()) found.push(of('migration', `${was.name} key`, `[${was.key.join(', ')}] → [${is.key.join(', ')}]`))
  const partitions = [was.partition ?? was.key.slice(0, 1), is.partition ?? is.key.slice(0, 1)].map(String)
  if (partitions[0] !== partitions[1]) {
    // Counters of generated keys are counters of partitions.
    const counts = is.columns.some((column) => column.generated === true)
    found.push(of(counts ? 'migration' : 'nothing', `${was.name} partition`, `${partitions[0]} → ${partitions[1]}`))
  }
  const indexes = new Map((was.indexes ?? []).map((index) => [index.name, JSON.stringify(index)]))
  for (const index of is.indexes ?? []) {
    const text = indexes.get(index.name)
    indexes.delete(index.name)
    // A unique one is proved when it is built.
    if (text !== JSON.stringify(index)) found.push(of('nothing', `${was.name} index ${index.name}`, text === undefined ? 'new' : 'changed'))
  }
  for (const name of indexes.keys()) found.push(of('nothing', `${was.name} index ${name}`, 'gone'))
  const checks = new Set(was.checks ?? [])
  if (hasRules) for (const name of is.checks ?? []) if (!checks.has(name)) found.push(of('proof', `${was.name} check ${name}`, 'new'))
  found.push(...ofReferences(was, is))
  return found
}

/** Rows of before are proved as well: also where the log is too old to say that there was such a reference. */
function ofReferences(was: LoggedTable, is: LoggedTable): SchemaDifference[] {
  const before = new Map((was.references ?? []).map((reference) => [reference.name, textOf(reference)]))
  return (is.references ?? [])
    .filter((reference) => before.get(reference.name) !== textOf(reference))
    .map((reference) => ({ need: 'proof', table: was.name, what: `${was.name} reference ${reference.name}`, change: before.has(reference.name) ? `${before.get(reference.name)} → ${textOf(reference)}` : `new, ${textOf(reference)}`, reference: reference.name }))
}

const textOf = ({ on, to }: LoggedReference): string => `[${on.join(', ')}] to ${to}`

function ofColumns(name: string, table: string | undefined, was: readonly LoggedColumn[], is: readonly LoggedColumn[], keys: ReadonlySet<string>): SchemaDifference[] {
  const found: SchemaDifference[] = []
  const of = (need: Need, column: string, change: string): void => void found.push({ need, table, what: `${name}.${column}`, change })
  const now = new Map(is.map((column) => [column.name, column]))
  for (const old of was) {
    const next = now.get(old.name)
    const isKey = keys.has(old.name)
    if (next === undefined) of(table === undefined ? 'nothing' : 'migration', old.name, `${typeText(old)} → gone`)
    else if (old.type !== next.type) of('migration', old.name, `${typeText(old)} → ${typeText(next)}`)
    else {
      if (old.nullable !== next.nullable) of(isKey ? 'migration' : next.nullable ? 'nothing' : 'proof', old.name, `${typeText(old)} → ${typeText(next)}`)
      if (old.type === 'enum') ofWords(old, next, isKey, of)
      if (old.generated !== true && next.generated === true) of('migration', old.name, 'not generated → generated')
    }
  }
  const before = new Set(was.map((column) => column.name))
  for (const column of is) {
    if (before.has(column.name)) continue
    const isFilled = column.nullable || column.fill !== undefined
    of(isFilled && !keys.has(column.name) ? 'nothing' : 'migration', column.name, `new → ${typeText(column)}${isFilled ? '' : withoutDefault}`)
  }
  if (found.length === 0 && was.map((column) => column.name).join() !== is.map((column) => column.name).join()) found.push({ need: 'nothing', table, what: name, change: 'columns in another order' })
  return found
}

/** Words are known by their places, and a key has places in it. */
function ofWords(was: LoggedColumn, is: LoggedColumn, isKey: boolean, of: (need: Need, column: string, change: string) => void): void {
  const [before, after] = [was.values ?? [], is.values ?? []]
  if (before.join('\n') === after.join('\n')) return
  const change = `${typeText(was)} → ${typeText(is)}`
  if (isBeginningOf(before, after)) of(isKey && enumPlaceBytes(before) !== enumPlaceBytes(after) ? 'migration' : 'nothing', was.name, change)
  else if (isKey) of('migration', was.name, change)
  else of(before.every((word) => after.includes(word)) ? 'nothing' : 'proof', was.name, change)
}

function ofRules(was: LoggedTable, column: LoggedColumn): SchemaDifference[] {
  const old = was.columns.find((one) => one.name === column.name)
  if (old === undefined || old.type !== column.type) return []
  const [before, after] = [old.rules ?? {}, column.rules ?? {}]
  return tightened(before, after).map(([rule, from, to]) => ({ need: 'proof', table: was.name, what: `${was.name}.${column.name}`, change: `${rule}: ${from} → ${to}` }))
}

/** Rules that ask for more than before: which, what it was, what it is. */
export function tightened(was: LoggedRules, is: LoggedRules): (readonly [rule: string, from: string, to: string])[] {
  const found: (readonly [string, string, string])[] = []
  const add = (rule: string, before: unknown, after: unknown): void => void found.push([rule, before === undefined ? 'none' : String(before), String(after)])
  if (is.min !== undefined && (was.min === undefined || isLess(was.min, is.min))) add('min', was.min, is.min)
  if (is.max !== undefined && (was.max === undefined || isLess(is.max, was.max))) add('max', was.max, is.max)
  if (is.positive === true && was.positive !== true) add('positive', undefined, true)
  if (is.notBlank === true && was.notBlank !== true) add('notBlank', undefined, true)
  if (is.maxLength !== undefined && (was.maxLength === undefined || is.maxLength < was.maxLength)) add('maxLength', was.maxLength, is.maxLength)
  if (is.pattern !== undefined && is.pattern !== was.pattern) add('pattern', was.pattern, is.pattern)
  for (const check of is.checks ?? []) if (!(was.checks ?? []).includes(check)) add('check', undefined, check)
  if (is.schema === true && was.schema !== true) add('schema', undefined, 'one')
  return found
}

/** Bounds of bigints are text. */
function isLess(a: number | string, b: number | string): boolean {
  const isWhole = (bound: number | string): bound is string => typeof bound === 'string' && /^-?\d+$/.test(bound)
  return isWhole(a) && isWhole(b) ? BigInt(a) < BigInt(b) : Number(a) < Number(b)
}

function typeText({ type, nullable, values }: LoggedColumn): string {
  return `${type}${values ? `(${values.join(' ')})` : ''}${nullable ? ' nullable' : ''}`
}

/** Tables whose rows must be made anew, by what has changed or because the last application counted another generation. */
export function tablesThatNeed(need: Need, differences: readonly SchemaDifference[]): ReadonlySet<string> {
  return new Set(differences.flatMap((one) => (one.need === need && one.table !== undefined ? [one.table] : [])))
}

/** One line of a refusal; the same one for all tables of what is gone as a whole. */
export function lineOf({ need, table, what, change, whole }: SchemaDifference): string {
  const todo: Readonly<Record<Need, string>> = {
    nothing: 'is taken over by itself',
    proof: 'is taken over if every row obeys it',
    copying: 'is copied again by itself',
    migration: change === tableGone ? `needs a migration: '${whole ?? table}': 'drop'` : `needs a migration of "${table}"`,
    return: 'cannot be changed: change the application back',
  }
  return `${whole ?? what}: ${change} (${todo[need]})`
}
