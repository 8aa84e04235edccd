/** Checkpoints to fill and to compare: the model is a plain map from key bytes, as latin1 text, to value bytes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChangeBuffer, rowWords } from '../../wal/index.js'
import type { Checkpoint, RowBlock, SortedChanges } from '../../wal/index.js'

export type Model = Map<string, Uint8Array>
/** `undefined` deletes. */
export type Changes = readonly (readonly [key: string, value: Uint8Array | undefined])[]

export const bytesOf = (key: string): Uint8Array => new Uint8Array(Buffer.from(key, 'latin1'))
export const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

export function sortedOf(changes: Changes): SortedChanges {
  const buffer = new ChangeBuffer()
  for (const [key, value] of changes) {
    if (value === undefined) buffer.delete(bytesOf(key))
    else buffer.put(bytesOf(key), value)
  }
  return buffer.sorted()
}

export function applyToModel(model: Model, changes: Changes): void {
  for (const [key, value] of changes) {
    if (value === undefined) model.delete(key)
    else model.set(key, value.slice())
  }
}

export function rowsOf(block: RowBlock): (readonly [string, Uint8Array])[] {
  return Array.from({ length: block.count }, (_, row) => {
    const [keyAt, keyBytes, valueAt, valueBytes] = block.rows.subarray(row * rowWords, row * rowWords + rowWords)
    if (valueAt % 8 !== 0 || block.words.buffer !== block.bytes.buffer) throw new Error('K2: values begin at multiples of 8')
    return [keyOf(block.bytes.subarray(keyAt, keyAt + keyBytes)), block.bytes.slice(valueAt, valueAt + valueBytes)] as const
  })
}

export function contentOf(checkpoint: Checkpoint, from?: string): (readonly [string, Uint8Array])[] {
  const rows: (readonly [string, Uint8Array])[] = []
  for (const block of checkpoint.blocks(from === undefined ? undefined : bytesOf(from))) {
    const [inFile, bytes] = block.words
    if (inFile > 1 && bytes > 8_168) throw new Error(`K3: a block of ${inFile} rows has ${bytes} bytes`)
    rows.push(...rowsOf(block))
  }
  return rows
}

/** Says in one line where a checkpoint differs from its model; undefined when it does not. */
export function differenceOf(checkpoint: Checkpoint, model: Model, from = ''): string | undefined {
  const found = contentOf(checkpoint, from === '' ? undefined : from)
  // Text in latin1 sorts by its code units as its bytes do.
  const expected = [...model].filter(([key]) => key >= from).sort(([left], [right]) => (left < right ? -1 : 1))
  for (const [index, [key, value]] of expected.entries()) {
    const row = found[index]
    if (row === undefined) return `row ${index} of ${expected.length} is missing`
    if (row[0] !== key) return `row ${index} has key ${JSON.stringify(row[0].slice(0, 40))}, not ${JSON.stringify(key.slice(0, 40))}`
    if (Buffer.compare(row[1], value) !== 0) return `row ${index} has another value`
  }
  if (found.length > expected.length) return `${found.length} rows, not ${expected.length}`
  if (from === '' && checkpoint.rows !== model.size) return `it counts ${checkpoint.rows} rows, not ${model.size}`
  return undefined
}

const folders: string[] = []
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sluice-checkpoint-'))
  folders.push(path)
  return join(path, 'checkpoint')
}
export function removeTemporaryFolders(): void {
  for (const path of folders.splice(0)) rmSync(join(path), { recursive: true, force: true })
}
