/**
 * What an erasure takes away, as plain data: it goes to the thread that rewrites files, and into the journal, so that the next life of the
 * database goes on with the same words.
 *
 * Tables, columns and events are known by name, because the frames of a log have catalogs of their own. A row is the subject's when one
 * of its subject columns holds the subject; what is not declared is nobody's.
 */
import { ByteReader } from '../base/bytes.js'
import { decodeCanonical } from '../base/canonical.js'
import type { Program } from './descriptor.js'
import { parkedTableName } from './parked-table.js'

export type Subject = string | number | bigint

export interface ErasedTable {
  readonly name: string
  readonly subject: readonly string[]
  /** Columns that become null, those of the subject among them. Undefined: the row goes. */
  readonly blank: readonly string[] | undefined
  /** Of a table of the engine's own: what of its rows may be anybody's. */
  readonly redact?: readonly Redaction[]
}
/**
 * A column that is emptied where it holds the subject, whatever else the row holds: null, or no bytes.
 *
 *   text     has the subject as a word
 *   data     canonical bytes, which mention it
 *   commit   canonical bytes of a commit with a row or an event of the subject's, or an id that mentions it
 */
export interface Redaction {
  readonly column: string
  readonly as: 'text' | 'data' | 'commit'
  /** Columns that say the same in other words. */
  readonly also?: readonly string[]
}
export interface ErasedEvent {
  readonly name: string
  readonly subject: readonly string[]
}
export interface ErasurePlan {
  readonly subject: SubjectText
  readonly tables: readonly ErasedTable[]
  readonly events: readonly ErasedEvent[]
}
/** A subject as JSON has it. */
export interface SubjectText {
  readonly kind: 'string' | 'number' | 'bigint'
  readonly text: string
}

export const subjectText = (subject: Subject): SubjectText => ({ kind: typeof subject as SubjectText['kind'], text: String(subject) })
export function subjectOf({ kind, text }: SubjectText): Subject {
  return kind === 'string' ? text : kind === 'number' ? Number(text) : BigInt(text)
}

/**
 * Tables of the engine's own whose rows may hold the data of subjects. They are searched like all others: in memory, log and checkpoints.
 * A parked delivery stays, for it may be others' too: its commit is read again from the log, where it is erased.
 */
const ownTablesOfSubjects: readonly ErasedTable[] = [
  {
    name: parkedTableName,
    subject: [],
    blank: undefined,
    redact: [{ column: 'keyValue', as: 'data', also: ['key'] }, { column: 'commit', as: 'commit' }, { column: 'message', as: 'text' }],
  },
]

/** Undefined: the program does not say of anything whose it is. */
export function erasurePlan(program: Program, subject: Subject): ErasurePlan | undefined {
  const tables = program.tables.flatMap(({ descriptor: { name, columns }, subject: rule }): ErasedTable[] => {
    if (rule === undefined) return []
    const names = (ordinals: readonly number[]): readonly string[] => ordinals.map((ordinal) => columns[ordinal]!.name)
    return [{ name, subject: names(rule.columns), blank: rule.blank && names(rule.blank) }]
  })
  const events = program.events.flatMap(({ descriptor: { name, columns }, subject: ordinals }) =>
    ordinals === undefined ? [] : [{ name, subject: ordinals.map((ordinal) => columns[ordinal]!.name) }],
  )
  if (tables.length === 0 && events.length === 0) return undefined
  return { subject: subjectText(subject), tables: [...tables, ...ownTablesOfSubjects], events }
}

/** What a commit of the log is made of, as far as its owner is asked for. */
export interface OwnedCommit {
  readonly id: string | undefined
  readonly changes: readonly { readonly table: string; readonly before: Readonly<Record<string, unknown>> | undefined; readonly after: Readonly<Record<string, unknown>> | undefined }[]
  readonly events: readonly { readonly type: string; readonly payload: Readonly<Record<string, unknown>> }[]
}

/** An erasure takes something out of this commit. */
export function holdsSubject(plan: ErasurePlan, { id, changes, events }: OwnedCommit): boolean {
  const subject = subjectOf(plan.subject)
  const isOf = (columns: readonly string[] | undefined, row: Readonly<Record<string, unknown>> | undefined): boolean => row !== undefined && columns?.some((column) => row[column] === subject) === true
  return (
    (id !== undefined && mentions(id, subject)) ||
    events.some(({ type, payload }) => isOf(plan.events.find(({ name }) => name === type)?.subject, payload)) ||
    changes.some(({ table, before, after }) => {
      const columns = plan.tables.find(({ name }) => name === table)?.subject
      return isOf(columns, before) || isOf(columns, after)
    })
  )
}

/** The columns of a row that a table of the engine's own loses. */
export function redacted(plan: ErasurePlan, redactions: readonly Redaction[], cell: (column: string) => unknown): readonly string[] {
  return redactions.flatMap(({ column, as, also = [] }) => (isRedacted(plan, as, cell(column)) ? [column, ...also] : []))
}

function isRedacted(plan: ErasurePlan, as: Redaction['as'], value: unknown): boolean {
  const subject = subjectOf(plan.subject)
  if (as === 'text') return mentions(value, subject)
  const bytes = value as Uint8Array | null
  if (bytes === null || bytes.length === 0) return false
  const data = decodeCanonical(new ByteReader(bytes))
  return as === 'data' ? mentions(data, subject) : holdsSubject(plan, data as OwnedCommit)
}

/**
 * Whether plain data holds the subject: as a value, or as a word of a text. What procedures answered, and ids that callers chose, are
 * searched in this way, for nobody has declared whose they are. `ann` is a word of `order:ann`, and none of `hannah`.
 */
export function mentions(value: unknown, subject: Subject): boolean {
  if (value === subject) return true
  if (typeof value === 'string') return hasWord(value, String(subject))
  if (typeof value === 'bigint' || typeof value === 'number') return String(value) === String(subject)
  if (value === null || typeof value !== 'object') return false
  if (ArrayBuffer.isView(value)) return typeof subject === 'string' && Buffer.from(value.buffer, value.byteOffset, value.byteLength).includes(subject)
  if (value instanceof Map) return [...value].some((entry) => mentions(entry, subject))
  if (value instanceof Set) return [...value].some((one) => mentions(one, subject))
  if (Array.isArray(value)) return value.some((one) => mentions(one, subject))
  return Object.entries(value).some(([name, one]) => mentions(name, subject) || mentions(one, subject))
}

const isWordUnit = (text: string, at: number): boolean => at >= 0 && at < text.length && /[\p{L}\p{N}]/u.test(text[at]!)

function hasWord(text: string, word: string): boolean {
  if (word === '') return false
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!isWordUnit(text, at - 1) && !isWordUnit(text, at + word.length)) return true
  }
  return false
}
