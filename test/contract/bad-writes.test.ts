/**
 * Tables of bad writes inside a transaction: each dooms it, also when its error is swallowed, and leaves
 * nothing behind.
 */
import { afterAll, beforeAll, describe, test } from 'vitest'
import type { Database } from 'sluicedb'
import oddApp, * as use from '../support/apps/odd-app.js'
import { openOnce, thrown } from '../support/fixture.js'
import { refusedWhole } from '../support/refusals.js'

let db: Database
beforeAll(async () => {
  db = await openOnce(oddApp, { workers: 0, partitions: 4 })
  await db.call(use.prepare)
})
afterAll(() => db.close())

describe('writes in a transaction', () => {
  const byWay = ['insert', 'put', 'update', 'updateBy', 'set'] as const
  const cases = use.kinds.flatMap((kind) =>
    Object.keys(use.wrongValues[kind]).map((name) => [kind, name] as const),
  )
  test.each(cases)('%s refuses by every way of writing: %s', async (kind, name) => {
    for (const by of byWay) {
      for (const swallow of [false, true])
        await refusedWhole(db, () => db.call(use.writeWrong, { by, kind, name, swallow }), 'INVALID_INPUT')
    }
  })

  const emitted = (['bool', 'i32', 'text', 'json'] as const).flatMap((kind) =>
    Object.keys(use.wrongValues[kind]).map((name) => [kind, name] as const),
  )
  test.each(emitted)('an event payload refuses: %s, %s', async (kind, name) => {
    await refusedWhole(db, () => db.call(use.emitWrong, { kind, name }), 'INVALID_INPUT')
  })

  test.each(Object.keys(use.misuses))('%s is refused', async (name) => {
    await refusedWhole(db, () => db.call(use.misuse, { name }), 'INVALID_INPUT', 'INVALID_USE')
  })

  const limits: readonly (readonly [string, Record<string, unknown>, boolean])[] = [
    ['min', { least: 3 }, true],
    ['min', { least: 2 }, false],
    ['max', { most: 1.5 }, true],
    ['max', { most: 1.5000000000000002 }, false],
    ['positive', { above: 1 }, true],
    ['positive', { above: 0 }, false],
    ['min of a bigint', { big: -2n }, true],
    ['min of a bigint', { big: -3n }, false],
    ['max of a bigint', { big: 3n }, false],
    ['notBlank', { said: ' a ' }, true],
    ['notBlank', { said: '' }, false],
    ['notBlank', { said: ' \t\n' }, false],
    ['maxLength', { short: 'abcd' }, true],
    ['maxLength', { short: 'abcde' }, false],
    ['pattern', { shaped: 'xy-12' }, true],
    ['pattern', { shaped: 'XY-12' }, false],
    ['pattern', { shaped: 'xy-12\n' }, false],
    ['check', { even: 4 }, true],
    ['check', { even: 3 }, false],
  ]
  test.each(limits)('%s with %o: %s', async (_, row, holds) => {
    if (holds) await db.call(use.setLimited, { row })
    else await refusedWhole(db, () => db.call(use.setLimited, { row }), 'CONSTRAINT')
  })
})

describe('what outlives its transaction', () => {
  test.each(use.keptUses)('%s on a kept tx or accessor is INVALID_USE outside', async (how) => {
    await db.call(use.keep)
    thrown(() => use.useKept(how), 'INVALID_USE')
  })

  test.each(use.keptUses)(
    '%s on a kept tx or accessor is INVALID_USE inside another transaction',
    async (how) => {
      await db.call(use.keep)
      await refusedWhole(db, () => db.call(use.useKeptInside, { how }), 'INVALID_USE')
    },
  )
})
