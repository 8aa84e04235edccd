/** docs/vmodb.md goes through vMODB's constructs. Here: the page is complete, and the test that it names for each row is there. */
import { expect, test } from 'vitest'
import { mustBeThere, namedTests, readPage } from './support/named-tests.js'

const rows = [...readPage('docs/vmodb.md').matchAll(/^\| (\d+) \| (.+) \|$/gm)].map(([, number, rest]) => ({ row: Number(number), tests: namedTests(rest!) }))

test('rows 1 to 33 stand on the page once, in order, each with a test', () => {
  expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 33 }, (_, n) => n + 1))
  expect(rows.filter(({ tests }) => tests.length === 0).map(({ row }) => row)).toEqual([])
})

test.each(rows.flatMap(({ row, tests }) => tests.map((one) => ({ row, ...one }))))('row $row: $path has "$words"', mustBeThere)
