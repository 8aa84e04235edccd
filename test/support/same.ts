/**
 * Values as text, so that states of two kinds can be compared and shown: -0, bigint, bytes, dates and
 * `undefined` stay different from their look-alikes.
 */
import { expect } from 'vitest'

export function canon(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'string':
      return JSON.stringify(value)
    case 'object':
      if (value === null) return 'null'
      if (value instanceof Uint8Array)
        return `<${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}>`
      if (value instanceof Date) return `date ${value.getTime()}`
      if (Array.isArray(value)) return `[${value.map(canon).join(',')}]`
      return `{${Object.entries(value)
        .map(([name, entry]) => `${JSON.stringify(name)}:${canon(entry)}`)
        .sort()
        .join(',')}}`
    case 'boolean':
    case 'undefined':
      return String(value)
    default:
      return typeof value
  }
}

const clip = (text: string) =>
  text.length > 600 ? `${text.slice(0, 600)}… (${text.length} characters)` : text

/** Same values, lists in the same order. */
export function expectSame(actual: unknown, expected: unknown, what: string): void {
  const [one, other] = [canon(actual), canon(expected)]
  if (one === other) return
  expect.fail(
    `${what}\n  got      ${clip(one)}\n  expected ${clip(other)}\n${firstDifference(actual, expected)}`,
  )
}

/** Same rows in any order. */
export function expectSameRows(actual: readonly unknown[], expected: readonly unknown[], what: string): void {
  expectSame(actual.map(canon).sort(), expected.map(canon).sort(), what)
}

function firstDifference(actual: unknown, expected: unknown): string {
  if (!Array.isArray(actual) || !Array.isArray(expected)) return ''
  const at = expected.findIndex((entry, index) => canon(entry) !== canon(actual[index]))
  const from = at < 0 ? expected.length : at
  return `  first difference at ${from} of ${actual.length}/${expected.length}:\n    got      ${clip(canon(actual[from]))}\n    expected ${clip(canon(expected[from]))}`
}
