/** What must not be stale, is not (keeping.ts). */
import { expect, test } from 'vitest'
import { keptOrNot } from './keeping.js'

test('runs ahead that do not disturb each other are kept', () => {
  expect(keptOrNot()).toBeUndefined()
})
