/** Values compared as text. */
import { expect } from 'vitest'
import { canon } from './canon.js'

export { canon }

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
