/**
 * Row images of frames as plain rows: code made for one layout (the images themselves: store/row-image.ts).
 *
 *   after     columns are read where they lie in the frame; the words go through a staging area of one row, so that numbers of
 *             8 bytes are read whole wherever the image begins
 *   before    the words that differ are laid over the staging area; a column none of whose words differ has the value that the
 *             row after the update has, and is not read again
 *
 * Reading an update is therefore one row and what changed of it. `readBefore` belongs to the `readAfter` of the same change: in
 * between, the staging area holds the words of the row after.
 *
 * Generated code holds ordinals, offsets and `JSON.stringify`ed names, nothing else of the user's (R64).
 */
import { asciiText, ByteReader, utf8Text } from '../base/bytes.js'
import { decodeCanonical } from '../base/canonical.js'
import { type ColumnLayout, inlineBytesMax, lengthMask, rowHeaderWords, type RowLayout } from '../schema/row-layout.js'
import { cellInts, type PlainRow, uuidText } from '../store/row-codec.js'

const headerInts = rowHeaderWords * 2

export interface ImageReader {
  /** The row of a whole image, which begins at the int `at` of `ints`; both are views from the same place on. */
  readonly readAfter: (ints: Int32Array, bytes: Uint8Array, at: number) => PlainRow
  /** The row before the update that made `after`, which was read last. */
  readonly readBefore: (ints: Int32Array, bytes: Uint8Array, at: number, after: PlainRow) => PlainRow
}

const reader = new ByteReader(new Uint8Array(0))

function json(bytes: Uint8Array, from: number, length: number): unknown {
  reader.reset(bytes)
  reader.seek(from, from + length)
  return decodeCanonical(reader)
}
/** A copy in memory of its own, whatever kind of view `bytes` is. */
function copied(bytes: Uint8Array, from: number, length: number): Uint8Array {
  const copy = new Uint8Array(length)
  copy.set(bytes.subarray(from, from + length))
  return copy
}
/** `head` is the first word of the cell: its length and its flag. */
function text(bytes: Uint8Array, from: number, length: number, head: number): string {
  return head === length ? asciiText(bytes, from, length) : utf8Text(bytes, from, length)
}

/** Where a column begins in an image, in ints. */
const placeOf = (column: ColumnLayout): number => column.at - headerInts

/** The value of a column that lies in the staging area, or in the frame where it is long: `b` and `o` say where, `h` is its head. */
function expression(column: ColumnLayout): string {
  const at = placeOf(column)
  const n = column.ordinal
  const value = ((): string => {
    switch (column.descriptor.type) {
      case 'int':
      case 'f64':
      case 'timestamp':
        return `f64[${at >>> 1}]`
      case 'i32':
        return `i32[${at}]`
      case 'u32':
        return `(i32[${at}] >>> 0)`
      case 'bool':
        return `(i32[${at}] === 1)`
      case 'bigint':
        return `i64[${at >>> 1}]`
      case 'enum':
        return `words${n}[i32[${at}]]`
      case 'uuid':
        return `uuidText(u8, ${at * 4})`
      case 'text':
        return `text(b${n}, o${n}, h${n} & ${lengthMask}, h${n})`
      case 'bytes':
        return `copied(b${n}, o${n}, h${n} & ${lengthMask})`
      case 'json':
        return `json(b${n}, o${n}, h${n} & ${lengthMask})`
    }
  })()
  return column.nullAt < 0 ? value : `((i32[${column.nullAt - headerInts}] & ${column.nullBit}) !== 0 ? null : ${value})`
}

/** Finds the bytes of a column of variable length: in the staging area, or at `long` in the frame, which then moves on. */
function findBytes({ ordinal: n, at }: ColumnLayout): string[] {
  const cell = at - headerInts
  return [
    `h${n} = i32[${cell}]`,
    `if ((h${n} & ${lengthMask}) <= ${inlineBytesMax}) { b${n} = u8; o${n} = ${cell * 4 + 4} }`,
    `else { b${n} = bytes; o${n} = long; long += ((h${n} & ${lengthMask}) + 7) & ~7 }`,
  ]
}

/** Whether one of the words of a column, or of its null bit, differs from the row after. */
function differs(column: ColumnLayout): string {
  const at = placeOf(column)
  const words = new Set<number>()
  for (let n = 0; n < cellInts(column); n += 1) words.add((at + n) >>> 1)
  if (column.nullAt >= 0) words.add((column.nullAt - headerInts) >>> 1)
  return `(${[...words].map((word) => `(ints[at + ${word >>> 5}] & ${1 << (word & 31)})`).join(' | ')}) !== 0`
}

/** The old long value of a cell stands behind the words if the first word of the cell differs. */
const isReplaced = (column: ColumnLayout): string => {
  const word = placeOf(column) >>> 1
  return `(ints[at + ${word >>> 5}] & ${1 << (word & 31)}) !== 0`
}

/**
 * Whether a column has another value than the row after. The word of its null bit is that of other columns too, and may differ for one of
 * them: a long value that was not replaced is the one of the row after then, and stands nowhere else.
 */
function isOld(column: ColumnLayout): string {
  const n = column.ordinal
  return column.isVar ? `${differs(column)} && (${isReplaced(column)} || (h${n} & ${lengthMask}) <= ${inlineBytesMax})` : differs(column)
}

export function compileImageReader(layout: RowLayout): ImageReader {
  const { columns, vars } = layout
  const words = layout.words - rowHeaderWords
  const maskInts = (((words + 7) >>> 3) + 7 & ~7) >>> 2
  const enums = columns.filter(({ descriptor }) => descriptor.type === 'enum')
  const places = vars.flatMap(({ ordinal: n }) => [`h${n} = 0`, `b${n} = u8`, `o${n} = 0`])
  const declared = places.length === 0 ? [] : [`let ${places.join(', ')}`]
  const fields = (valueOf: (column: ColumnLayout) => string): string =>
    columns.map((column) => `${JSON.stringify(column.descriptor.name)}: ${valueOf(column)}`).join(',\n')
  const source = [
    `const i32 = new Int32Array(${words * 2}), f64 = new Float64Array(i32.buffer), i64 = new BigInt64Array(i32.buffer), u8 = new Uint8Array(i32.buffer)`,
    ...enums.map(({ ordinal, descriptor }) => `const words${ordinal} = ${JSON.stringify(descriptor.values)}`),
    'const readAfter = (ints, bytes, at) => {',
    `for (let n = 0; n < ${words * 2}; n += 1) i32[n] = ints[at + n]`,
    ...declared,
    `let long = (at + ${words * 2}) * 4`,
    ...vars.flatMap(findBytes),
    `return { ${fields(expression)} }`,
    '}',
    'const readBefore = (ints, bytes, at, after) => {',
    `let from = at + ${maskInts}`,
    `for (let part = 0; part < ${maskInts}; part += 1) {`,
    'for (let bits = ints[at + part]; bits !== 0; bits &= bits - 1) {',
    'const word = (part << 5) + 31 - Math.clz32(bits & -bits)',
    'i32[word * 2] = ints[from]',
    'i32[word * 2 + 1] = ints[from + 1]',
    'from += 2',
    '}',
    '}',
    ...declared,
    'let long = from * 4',
    ...vars.flatMap((column) => [
      `if (${isReplaced(column)}) {`,
      ...findBytes(column),
      '} else {',
      // Of the same length: within the row, for a long value that was replaced differs in its first word.
      `h${column.ordinal} = i32[${placeOf(column)}]; o${column.ordinal} = ${placeOf(column) * 4 + 4}`,
      '}',
    ]),
    `return { ${fields((column) => `${isOld(column)} ? ${expression(column)} : after[${JSON.stringify(column.descriptor.name)}]`)} }`,
    '}',
    'return { readAfter, readBefore }',
  ].join('\n')
  return new Function('text', 'json', 'copied', 'uuidText', source)(text, json, copied, uuidText) as ImageReader
}
