/**
 * What an erasure takes away, as plain data: it goes to the thread that rewrites files, and into the journal, so that the next life of the
 * database goes on with the same words.
 *
 * Tables, columns and events are known by name, because the frames of a log have catalogs of their own. A row is the subject's when one
 * of its subject columns holds the subject; what is not declared is nobody's.
 */
import type { Program } from './descriptor.js'

export type Subject = string | number | bigint

export interface ErasedTable {
  readonly name: string
  readonly subject: readonly string[]
  /** Columns that become null, those of the subject among them. Undefined: the row goes. */
  readonly blank: readonly string[] | undefined
  /** Columns with data of others (json, text, bytes): a row is the subject's as well when one of them mentions it. */
  readonly search?: readonly string[]
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
 * Tables of the engine's own whose rows may hold the data of subjects: declared here by whoever makes such a table, as a user declares
 * one of theirs (`{ name: '$parked', subject: [], blank: undefined, search: ['payload'] }`). They are searched like all others: in memory, log
 * and checkpoints. Whoever keeps such rows elsewhere too hears of it as of any change: they are deleted by a transaction.
 */
export const ownTablesOfSubjects: readonly ErasedTable[] = []

export function erasurePlan(program: Program, subject: Subject): ErasurePlan {
  return {
    subject: subjectText(subject),
    tables: [
      ...program.tables.flatMap(({ descriptor: { name, columns }, subject: rule }): ErasedTable[] => {
        if (rule === undefined) return []
        const names = (ordinals: readonly number[]): readonly string[] => ordinals.map((ordinal) => columns[ordinal]!.name)
        return [{ name, subject: names(rule.columns), blank: rule.blank && names(rule.blank) }]
      }),
      ...ownTablesOfSubjects,
    ],
    events: program.events.flatMap(({ descriptor: { name, columns }, subject: ordinals }) =>
      ordinals === undefined ? [] : [{ name, subject: ordinals.map((ordinal) => columns[ordinal]!.name) }],
    ),
  }
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
