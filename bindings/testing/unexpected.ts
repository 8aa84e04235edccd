/** What a test says when something else came out: both sides, line by line. */
import { isBytes } from '../schema/plain.js'

/** Test runners that know `expected` and `actual` show them in their own way, too. */
export class UnexpectedOutcome extends Error {
  override readonly name = 'AssertionError'
  readonly code = 'ERR_ASSERTION'
  readonly expected: unknown
  readonly actual: unknown

  constructor(message: string, expected: unknown, actual: unknown) {
    super(message)
    this.expected = expected
    this.actual = actual
  }
}

/** As text in which every value has one spelling. Columns of objects in alphabetical order. */
export function printed(value: unknown, indent = ''): string {
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Date) return `Date(${value.toISOString()})`
  if (isBytes(value)) return `Uint8Array(${[...value].join(' ')})`
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? JSON.stringify(value) : String(value)
  const inner = `${indent}  `
  const lines = Array.isArray(value)
    ? value.map((one) => printed(one, inner))
    : Object.keys(value).sort().filter((name) => (value as Record<string, unknown>)[name] !== undefined).map((name) => `${name}: ${printed((value as Record<string, unknown>)[name], inner)}`)
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}']
  return lines.length === 0 ? `${open}${close}` : `${open}\n${lines.map((line) => `${inner}${line},\n`).join('')}${indent}${close}`
}

/** The lines of both, `-` for what was expected and `+` for what came. */
export function difference(expected: string, actual: string): string {
  const [wanted, came] = [expected.split('\n'), actual.split('\n')]
  const common = longestCommon(wanted, came)
  const lines: string[] = []
  let [i, j] = [0, 0]
  for (const [atWanted, atCame] of [...common, [wanted.length, came.length] as const]) {
    while (i < atWanted) lines.push(`- ${wanted[i++]!}`)
    while (j < atCame) lines.push(`+ ${came[j++]!}`)
    if (i < wanted.length && j < came.length) lines.push(`  ${wanted[i]!}`)
    i += 1
    j += 1
  }
  return lines.join('\n')
}

/** Places of lines that both have, in order, as many as there can be. */
function longestCommon(one: readonly string[], other: readonly string[]): readonly (readonly [number, number])[] {
  const lengths = Array.from({ length: one.length + 1 }, () => new Uint32Array(other.length + 1))
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      lengths[i]![j] = one[i] === other[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!)
    }
  }
  const places: (readonly [number, number])[] = []
  for (let [i, j] = [0, 0]; i < one.length && j < other.length; ) {
    if (one[i] === other[j]) places.push([i++, j++])
    else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) i += 1
    else j += 1
  }
  return places
}
