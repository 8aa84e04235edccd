/** Pages that name tests: in each row, `path` "words of the test". */
import { existsSync, readFileSync } from 'node:fs'
import { expect } from 'vitest'

const root = new URL('../../', import.meta.url)

export const readPage = (path: string): string => readFileSync(new URL(path, root), 'utf8')

export interface NamedTest {
  readonly path: string
  readonly words: string
}

export function namedTests(text: string): readonly NamedTest[] {
  return [...text.matchAll(/`([^`]+)` "([^"]+)"/g)].map(([, path, words]) => ({ path: path!, words: words! }))
}

export function mustBeThere({ path, words }: NamedTest): void {
  expect(existsSync(new URL(path, root)), `${path} exists`).toBe(true)
  expect(readPage(path).includes(words), `"${words}" stands in ${path}`).toBe(true)
}
