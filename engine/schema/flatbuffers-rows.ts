/**
 * The rows of a catalog as structs of FlatBuffers, and the numbers that frames have for names.
 *
 * A row image begins with words of fixed places, largest cells first, so there is a struct with the same bytes for every table: no
 * field of it needs padding in front of it (row-layout.ts). What is no field of FlatBuffers is one in pieces: a bool takes four bytes, a value
 * of variable length is a struct of its head and five words, because not every language of flatc has arrays in structs.
 *
 * Names of the user's become identifiers that flatc and its languages accept and that are different from each other; the real
 * name stands in front of each, as JSON, in a comment that the generated code keeps.
 */
import type { LoggedCatalog, LoggedColumn, LoggedTable } from './catalog.js'
import { layoutOf, rowHeaderWords, type ColumnLayout } from './row-layout.js'

const shared = `// Cells of more than 8 bytes. Their words hold bytes, the first one lowest.
struct Uuid {
  word_0: uint;
  word_1: uint;
  word_2: uint;
  word_3: uint;
}

// A text, bytes or json. Bytes of the value: head & 0x3fffffff. Up to 20 of them stand in the words; a longer value stands behind the
// struct of the row, and the words are zero. 0x40000000 in the head: a text that is not pure ASCII; every text is UTF-8.
struct Value {
  head: uint;
  word_0: uint;
  word_1: uint;
  word_2: uint;
  word_3: uint;
  word_4: uint;
}
`

const fieldTypes: Readonly<Record<LoggedColumn['type'], string>> = {
  int: 'double', f64: 'double', timestamp: 'double', bigint: 'long', i32: 'int', u32: 'uint', bool: 'uint', enum: 'uint', uuid: 'Uuid',
  text: 'Value', bytes: 'Value', json: 'Value',
}
const meanings: Readonly<Partial<Record<LoggedColumn['type'], string>>> = {
  int: 'a whole number', timestamp: 'milliseconds since 1970', bool: '1 is true', uuid: '16 bytes', json: 'in canonical bytes',
}

/** Structs of all tables, and an enum each for the numbers of tables, events and procedures. */
export function flatbuffersRows(catalog: LoggedCatalog): string {
  const types = new Identifiers()
  const structs = catalog.tables.map((table) => ({ name: types.take(structName(table.name)), table }))
  return [
    shared,
    ...structs.map(({ name, table }) => structOf(name, table)),
    enumOf('TableNumber', 'Change.layout', structs.map(({ name, table }) => [table.name, `, key ${table.key.join(', ')}: ${name}`])),
    enumOf('EventNumber', 'Event.type', catalog.events.map(({ name, columns }) => [name, fieldsOf(columns)])),
    enumOf('ProcedureNumber', 'Transaction.procedure', catalog.procedures.map((name) => [name, ''])),
  ].filter((part) => part !== '').join('\n')
}

function structOf(struct: string, table: LoggedTable): string {
  const layout = layoutOf({ name: table.name, columns: table.columns, key: [0], partition: 'global', ordered: false, indexes: [] })
  // A member cannot have the name of its struct in every language.
  const names = new Identifiers([struct])
  const fields = layout.columns.map((column) => ({ at: column.at, type: fieldTypes[column.descriptor.type], column, name: names.take(snakeCase(column.descriptor.name)) }))
  const nulls = [...new Set(layout.columns.flatMap(({ nullAt }) => (nullAt < 0 ? [] : [nullAt])))]
  const nullsAt = new Map(nulls.map((at) => [at, names.take('nulls')]))
  const lines = [
    ...fields.map(({ at, type, column, name }) => ({ at, lines: [`/// ${columnText(column, nullsAt.get(column.nullAt))}`, `${name}: ${type};`] })),
    ...[...nullsAt].map(([at, name]) => ({ at, lines: ['/// Bits of the columns that are null.', `${name}: uint;`] })),
  ].sort((a, b) => a.at - b.at)
  return [
    `/// A row of ${quoted(table.name)}: the first ${(layout.words - rowHeaderWords) * 8} bytes of its image.`,
    `struct ${struct} (force_align: 8) {`,
    ...lines.flatMap(({ lines: two }) => two.map((line) => `  ${line}`)),
    '}',
    '',
  ].join('\n')
}

function columnText({ descriptor, nullBit }: ColumnLayout, nulls: string | undefined): string {
  const { name, type, values } = descriptor
  const meaning = values === undefined ? meanings[type] : values.map((word, place) => `${place} ${quoted(word)}`).join(', ')
  const nullText = nulls === undefined ? '' : `; null where ${nulls} & 0x${(nullBit >>> 0).toString(16)}`
  return `${quoted(name)}, ${type}${meaning === undefined ? '' : `: ${meaning}`}${nullText}`
}

function fieldsOf(columns: readonly LoggedColumn[]): string {
  if (columns.length === 0) return ', no payload'
  const fields = columns.map(({ name, type, nullable, values }) => `${quoted(name)} ${type}${nullable ? '?' : ''}${values === undefined ? '' : ` (${values.map(quoted).join(', ')})`}`)
  return `, a record of ${fields.join(', ')}`
}

/** `names`: each with what is said behind it. The number of a name is its place. */
function enumOf(name: string, field: string, names: readonly (readonly [name: string, more: string])[]): string {
  if (names.length === 0) return ''
  const identifiers = new Identifiers()
  const values = names.flatMap(([one, more], place) => [`  /// ${quoted(one)}${more}`, `  ${identifiers.take(one)} = ${place},`])
  return [`/// What ${field} says.`, `enum ${name} : uint {`, ...values, '}', ''].join('\n')
}

/** On one line, harmless in every kind of comment, and not ending with a backslash. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('*/', '*\\/').replaceAll(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** As flatc wants fields; it makes of them what each language is used to. */
const snakeCase = (name: string): string => name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()

const structName = (table: string): string =>
  `${table.split(/[^A-Za-z0-9]+/).map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')}Row`

/** Names as identifiers: letters, digits and single inner underscores, different also for who does not tell cases apart. */
class Identifiers {
  readonly #taken = new Set<string>()

  constructor(taken: readonly string[] = []) {
    for (const name of taken) this.#taken.add(keyOf(name))
  }

  take(name: string): string {
    const plain = name.replaceAll(/[^A-Za-z0-9]+/g, '_').replaceAll(/^_|_$/g, '') || 'x'
    const first = /^[0-9]/.test(plain) ? `x_${plain}` : plain
    let found = first
    for (let n = 2; this.#taken.has(keyOf(found)); n += 1) found = `${first}_${n}`
    this.#taken.add(keyOf(found))
    return found
  }
}

/** Languages turn `a_b` into `aB`, which must stay apart from a name that was `aB`. */
const keyOf = (name: string): string => name.replaceAll('_', '').toLowerCase()
