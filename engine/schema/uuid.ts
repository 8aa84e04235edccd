/** UUIDs are text in JavaScript and 16 bytes in rows, keys and records. One spelling: lower case, with hyphens. */
import { asciiText } from '../base/bytes.js'

export const uuidBytes = 16
const textLength = 36
const spelling = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const digits = new Uint8Array(textLength)
/** Where the two digits of each byte begin in the text. */
const places: readonly number[] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
const hyphens: readonly number[] = [8, 13, 18, 23]

export function isUuid(text: string): boolean {
  return text.length === textLength && spelling.test(text)
}

/** Writes the 16 bytes of a text that `isUuid`. */
export function uuidToBytes(text: string, bytes: Uint8Array, at: number): void {
  for (let index = 0; index < uuidBytes; index += 1) {
    const place = places[index]!
    bytes[at + index] = (digitOf(text.charCodeAt(place)) << 4) | digitOf(text.charCodeAt(place + 1))
  }
}

export function uuidFromBytes(bytes: Uint8Array, at: number): string {
  for (let index = 0; index < uuidBytes; index += 1) {
    const byte = bytes[at + index]!
    const place = places[index]!
    digits[place] = charOf(byte >> 4)
    digits[place + 1] = charOf(byte & 15)
  }
  for (const place of hyphens) digits[place] = 0x2d
  return asciiText(digits, 0, textLength)
}

function digitOf(char: number): number {
  return char < 0x3a ? char - 0x30 : char - 0x57
}

function charOf(digit: number): number {
  return digit < 10 ? digit + 0x30 : digit + 0x57
}
