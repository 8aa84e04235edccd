/** docs/streams.md goes through what is expected of event logs. Here: both of its tables are complete, and the tests that they name are there. */
import { expect, test } from 'vitest'
import { mustBeThere, namedTests, readPage } from './support/named-tests.js'

const page = readPage('docs/streams.md')
const expected = [...page.matchAll(/^\| E-(\d+) \| ([^|]+) \| (yes|in part|no) \| (.+) \|$/gm)].map(([, number, , state, rest]) => ({ row: `E-${number}`, number: Number(number), state, tests: namedTests(rest!) }))
const bugs = [...page.matchAll(/^\| §8\.(\d+) \| (.+) \|$/gm)].map(([, number, rest]) => ({ row: `§8.${number}`, number: Number(number), tests: namedTests(rest!) }))
const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1)

test('rows E-01 to E-55 stand on the page once, in order; what is there has a test, and what is not has none', () => {
  expect(expected.map(({ number }) => number)).toEqual(upTo(55))
  expect(expected.filter(({ state, tests }) => (state === 'no') !== (tests.length === 0)).map(({ row }) => row)).toEqual([])
})

test('the twenty bugs stand on the page once, in order, each with a test', () => {
  expect(bugs.map(({ number }) => number)).toEqual(upTo(20))
  expect(bugs.filter(({ tests }) => tests.length === 0).map(({ row }) => row)).toEqual([])
})

test.each([...expected, ...bugs].flatMap(({ row, tests }) => tests.map((one) => ({ row, ...one }))))('$row: $path has "$words"', mustBeThere)
