/**
 * The fields of a YCSB row: ten texts of one hundred characters, which say where they belong and who wrote them.
 *
 *    0000000004 2891336453 7 ...........................................
 *    version    key        field, then filler; no spaces
 *
 * The version of a field that was loaded or inserted is 0; an update leaves its own number in the plan plus one, and what reads and
 * then modifies a field adds one.
 */
export const fields = 10
export const fieldNames = [
  'field0', 'field1', 'field2', 'field3', 'field4', 'field5', 'field6', 'field7', 'field8', 'field9',
] as const

export const fieldLength = 100
export const versionDigits = 10
const keyDigits = 10
const keyEnd = versionDigits + keyDigits
const filler = '.'.charCodeAt(0)
const zero = '0'.charCodeAt(0)

const scratch = Buffer.alloc(fieldLength, filler)

/** Made by a decoder and not by `+`: no contestant is given a rope. */
export function fieldText(key: number, field: number, version: number): string {
  writeDigits(version, 0, versionDigits)
  writeDigits(key, versionDigits, keyEnd)
  scratch[keyEnd] = zero + field
  return scratch.toString('latin1', 0, fieldLength)
}

function writeDigits(value: number, start: number, end: number): void {
  let rest = value
  for (let at = end - 1; at >= start; at -= 1) {
    const shorter = Math.floor(rest / 10)
    scratch[at] = zero + rest - shorter * 10
    rest = shorter
  }
}

export function versionOf(text: string): number {
  return digitsOf(text, 0, versionDigits)
}

/** Of the row that the field belongs to. */
export function keyOf(text: string): number {
  return digitsOf(text, versionDigits, keyEnd)
}

function digitsOf(text: string, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at += 1) value = value * 10 + text.charCodeAt(at) - zero
  return value
}

/** What a read-modify-write makes of a field. */
export function modifiedText(text: string): string {
  return String(versionOf(text) + 1).padStart(versionDigits, '0') + text.slice(versionDigits)
}
