/**
 * What a changed application asks less for, and which events it has more or less of: nothing that opening has to look at
 * (difference.ts), and news for who reads the log.
 */
import type { LoggedCatalog, LoggedTable } from './catalog.js'
import { differencesOf, type SchemaDifference, tableGone, tightened, withoutDefault } from './difference.js'
import { ownTablePrefix } from './sequence-table.js'

/** All that is another one in `now`, the successor of `log`: first what opening has looked at. */
export function changesOf(log: LoggedCatalog, now: LoggedCatalog): readonly SchemaDifference[] {
  return [...differencesOf(log, now).map(asNews), ...relaxationsOf(log, now)]
}

/** Without what only mattered to the opening: rows that a migration has made need no default. */
function asNews(one: SchemaDifference): SchemaDifference {
  const { change } = one
  if (change === tableGone) return { ...one, change: 'gone' }
  return change.endsWith(withoutDefault) ? { ...one, change: change.slice(0, -withoutDefault.length) } : one
}

function relaxationsOf(log: LoggedCatalog, now: LoggedCatalog): SchemaDifference[] {
  const found: SchemaDifference[] = []
  const add = (table: string | undefined, what: string, change: string): void => void found.push({ need: 'nothing', table, what, change })
  const [was, is] = [log.version ?? 1, now.version ?? 1]
  if (is > was) add(undefined, 'version', `${was} → ${is}`)
  const eventsOf = ({ events }: LoggedCatalog): ReadonlySet<string> => new Set(events.map(({ name }) => name))
  const [before, after] = [eventsOf(log), eventsOf(now)]
  for (const name of before) if (!after.has(name)) add(undefined, name, 'gone')
  for (const name of after) if (!before.has(name)) add(undefined, name, 'new')
  const tables = new Map(now.tables.map((table) => [table.name, table]))
  for (const table of log.tables) {
    const next = tables.get(table.name)
    if (next !== undefined && !table.name.startsWith(ownTablePrefix)) found.push(...ofTable(table, next, log.hasRules === true))
  }
  return found
}

function ofTable(was: LoggedTable, is: LoggedTable, hasRules: boolean): SchemaDifference[] {
  const found: SchemaDifference[] = []
  const add = (what: string, change: string): void => void found.push({ need: 'nothing', table: was.name, what: `${was.name} ${what}`, change })
  if ((was.ordered ?? false) !== (is.ordered ?? false)) add('ordered', `${was.ordered ?? false} → ${is.ordered ?? false}`)
  const gone = (noun: string, before: readonly string[], after: readonly string[]): void => {
    for (const name of before) if (!after.includes(name)) add(`${noun} ${name}`, 'gone')
  }
  const namesOf = ({ references = [] }: LoggedTable): readonly string[] => references.map(({ name }) => name)
  gone('reference', namesOf(was), namesOf(is))
  if (!hasRules) return found
  gone('check', was.checks ?? [], is.checks ?? [])
  for (const column of was.columns) {
    const next = is.columns.find(({ name }) => name === column.name)
    if (next === undefined || next.type !== column.type) continue
    const [rules, now] = [column.rules ?? {}, next.rules ?? {}]
    const narrower = new Set(tightened(rules, now).map(([rule]) => rule))
    // What would be tightened on the way back has been widened on the way here.
    for (const [rule, to, from] of tightened(now, rules)) {
      if (!narrower.has(rule)) found.push({ need: 'nothing', table: was.name, what: `${was.name}.${column.name}`, change: `${rule}: ${from} → ${to}` })
    }
  }
  return found
}
