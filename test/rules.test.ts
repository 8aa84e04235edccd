/** docs/rules.md names, for each rule, the test or assertion that keeps it. Here: the page is complete, and what it names exists. */
import { describe, expect, test } from 'vitest'
import { mustBeThere, namedTests, readPage } from './support/named-tests.js'

const rows = [...readPage('docs/rules.md').matchAll(/^\| R(\d+) \| (.+?) \| (.+) \|$/gm)].map(([, number, , keptBy]) => ({
  rule: Number(number),
  references: namedTests(keptBy!),
  isLater: /later: S\d/.test(keptBy!),
  keptBy: keptBy!,
}))

test('every rule from R1 to R66 stands on the page once, in order', () => {
  expect(rows.map(({ rule }) => rule)).toEqual(Array.from({ length: 66 }, (_, n) => n + 1))
})

test('a rule is kept by something, or the page says which step of the work brings it', () => {
  expect(rows.filter(({ references, isLater }) => references.length === 0 && !isLater).map(({ rule }) => `R${rule}`)).toEqual([])
  // What the page means as a reference is one: nothing is lost to a slip of the pen.
  expect(rows.filter(({ references, keptBy }) => references.length !== (keptBy.match(/`[^`]+\/[^`]+\.ts`/g) ?? []).length).map(({ rule }) => `R${rule}`)).toEqual([])
})

describe.each(rows.filter(({ references }) => references.length > 0))('R$rule', ({ references }) => {
  test.each(references)('$path has "$words"', mustBeThere)
})

test('a rule that a test names exists', () => {
  const named = rows.flatMap(({ references }) => references.map(({ path }) => path)).filter((path) => path.startsWith('test/'))
  for (const path of new Set(named)) {
    for (const [, number] of readPage(path).matchAll(/\bR(\d+)\b/g)) expect(Number(number), `R${number} in ${path}`).toBeLessThanOrEqual(66)
  }
})
