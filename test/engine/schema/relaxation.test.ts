/** What a changed application is news of, beyond what opening must look at. */
import { expect, test } from 'vitest'
import type { LoggedCatalog, LoggedTable } from '../../../engine/schema/catalog.js'
import { changesOf } from '../../../engine/schema/relaxation.js'

const table = (more: Partial<LoggedTable>): LoggedTable => ({ name: 'shop.item', key: ['id'], columns: [{ name: 'id', type: 'int', nullable: false }], ...more })
const catalog = (more: Partial<LoggedCatalog>): LoggedCatalog => ({ format: 1, seed: 0, partitions: 1, tables: [], events: [], procedures: [], hasRules: true, ...more })
const told = (log: LoggedCatalog, now: LoggedCatalog) => changesOf(log, now).map(({ what, change }) => `${what}: ${change}`)
const price = (rules: object) => table({ columns: [{ name: 'price', type: 'int', nullable: false, rules }], key: ['price'] })

test.each([
  { name: 'a rule that is wider', log: price({ max: 5 }), now: price({ max: 7 }), says: ['shop.item.price: max: 5 → 7'] },
  { name: 'a rule that is gone', log: price({ notBlank: true, maxLength: 3 }), now: price({ maxLength: 3 }), says: ['shop.item.price: notBlank: true → none'] },
  { name: 'another pattern, once', log: price({ pattern: '/a/' }), now: price({ pattern: '/b/' }), says: ['shop.item.price: pattern: /a/ → /b/'] },
  { name: 'a rule that is narrower, once', log: price({ max: 7 }), now: price({ max: 5 }), says: ['shop.item.price: max: 7 → 5'] },
  { name: 'a check that is gone', log: table({ checks: ['fits'] }), now: table({}), says: ['shop.item check fits: gone'] },
  { name: 'a reference that is gone', log: table({ references: [{ name: 'r', on: ['id'], to: 'shop.a' }] }), now: table({}), says: ['shop.item reference r: gone'] },
  { name: 'rows in order', log: table({}), now: table({ ordered: true }), says: ['shop.item ordered: false → true'] },
  { name: 'nothing', log: price({ max: 7 }), now: price({ max: 7 }), says: [] },
])('$name', ({ log, now, says }) => {
  expect(told(catalog({ tables: [log] }), catalog({ tables: [now] }))).toEqual(says)
})

test('tables and events come and go, and the application has a version', () => {
  const event = (name: string) => ({ name, columns: [] })
  const log = catalog({ tables: [table({})], events: [event('shop.paid'), event('shop.sent')] })
  const now = catalog({ tables: [table({ name: 'shop.note' })], events: [event('shop.sent'), event('shop.lost')], version: 2 })
  expect(told(log, now)).toEqual(['shop.item: gone', 'shop.note: new', 'version: 1 → 2', 'shop.paid: gone', 'shop.lost: new'])
})
