/** Which columns of two images differ, against comparing their values. */
import { describe, expect, test } from 'vitest'
import { layoutOf } from '../../../engine/schema/row-layout.js'
import type { ColumnDescriptor, ColumnType, TableDescriptor } from '../../../engine/schema/descriptor.js'
import { absentKey, ColumnGroups, existence, wholeRow } from '../../../engine/store/column-groups.js'
import { cellInts } from '../../../engine/store/row-codec.js'
import { randomFrom, seeds } from './fixture.js'

const tableOf = (types: readonly (readonly [ColumnType, boolean])[]): TableDescriptor => ({
  name: 'a.table',
  columns: types.map(([type, nullable], n): ColumnDescriptor => ({ name: `c${n}`, type, nullable, ...(type === 'enum' && { values: ['a', 'b'] }) })),
  key: [0],
  partition: [0],
  ordered: false,
  indexes: [],
})

test('each column has a bit of its own; from the 31st on they share one; none has the sign, which is existence', () => {
  const groups = new ColumnGroups(layoutOf(tableOf(Array.from({ length: 70 }, () => ['i32', false] as const))))
  const bits = [...groups.ofColumn]
  expect(new Set(bits.slice(0, 31)).size).toBe(31)
  expect(bits.slice(30).every((bit) => bit === 1 << 30)).toBe(true)
  expect(bits.every((bit) => (bit & existence) === 0 && bit !== 0)).toBe(true)
  expect(bits.every((bit) => (bit & wholeRow) === bit)).toBe(true)
  expect(existence & wholeRow).toBe(existence)
})

test('the header of a row is no column: who wrote it when, and whether it is queued, changes nothing', () => {
  const layout = layoutOf(tableOf([['int', false], ['text', true]]))
  const groups = new ColumnGroups(layout)
  const [one, other] = [new Int32Array(layout.words * 2), new Int32Array(layout.words * 2)]
  other.fill(99, 0, 4)
  expect(groups.changed(one, 0, other, 0)).toBe(0)
})

test('a null bit alone is a change of its column, and of no other that shares the word', () => {
  const layout = layoutOf(tableOf([['int', false], ...Array.from({ length: 40 }, () => ['i32', true] as const)]))
  const groups = new ColumnGroups(layout)
  for (const column of layout.columns.slice(1)) {
    const [one, other] = [new Int32Array(layout.words * 2), new Int32Array(layout.words * 2)]
    other[column.nullAt] = column.nullBit
    expect(groups.changed(one, 0, other, 0), column.descriptor.name).toBe(groups.ofColumn[column.ordinal])
  }
})

describe('random', () => {
  test.each(seeds)('two images differ in the groups of the columns that differ, seed %i', (seed) => {
    const random = randomFrom(seed)
    const types: readonly ColumnType[] = ['bool', 'i32', 'u32', 'int', 'f64', 'bigint', 'text', 'bytes', 'json', 'timestamp', 'uuid', 'enum']
    for (let round = 0; round < 300; round += 1) {
      const layout = layoutOf(tableOf(Array.from({ length: 1 + random.below(50) }, () => [types[random.below(types.length)]!, random.chance(0.5)] as const)))
      const groups = new ColumnGroups(layout)
      // Images may stand anywhere in the words they come from.
      const [oneAt, otherAt] = [random.below(5), random.below(5)]
      const one = Int32Array.from({ length: layout.words * 2 + oneAt }, () => random.int32())
      const other = new Int32Array(layout.words * 2 + otherAt)
      other.set(one.subarray(oneAt), otherAt)
      let expected = 0
      for (let changes = random.below(4); changes > 0; changes -= 1) {
        const column = layout.columns[random.below(layout.columns.length)]!
        if (column.nullAt >= 0 && random.chance(0.3)) other[otherAt + column.nullAt] = one[oneAt + column.nullAt]! ^ column.nullBit ^ (other[otherAt + column.nullAt]! ^ one[oneAt + column.nullAt]!)
        else other[otherAt + column.at + random.below(cellInts(column))] = random.int32()
      }
      for (const column of layout.columns) {
        let differs = column.nullAt >= 0 && ((one[oneAt + column.nullAt]! ^ other[otherAt + column.nullAt]!) & column.nullBit) !== 0
        for (let n = 0; n < cellInts(column); n += 1) differs ||= one[oneAt + column.at + n] !== other[otherAt + column.at + n]
        if (differs) expected |= groups.ofColumn[column.ordinal]!
      }
      expect(groups.changed(one, oneAt, other, otherAt)).toBe(expected)
    }
  })

  test.each(seeds)('what stands for an absent key is negative, so that no row has it, and tells tables apart, seed %i', (seed) => {
    const random = randomFrom(seed)
    const seen = new Set<number>()
    for (let n = 0; n < 10_000; n += 1) {
      const [table, hash] = [random.below(40), random.int32()]
      const standIn = absentKey(table, hash)
      expect(standIn).toBe(absentKey(table, hash))
      expect(standIn).toBeLessThan(0)
      seen.add(standIn)
    }
    // 31 bits: a few of 10,000 may meet.
    expect(seen.size).toBeGreaterThan(9_980)
    expect(new Set(Array.from({ length: 100 }, (_, table) => absentKey(table, 7))).size).toBe(100)
  })
})
