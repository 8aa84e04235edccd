/** Keys read from images are the keys that the codec makes of the values: every column type, nulls, long values before and behind. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ColumnDescriptor, ColumnType, TableDescriptor } from '../../../engine/schema/descriptor.js'
import { compileKeyCodec, KeyBuffer } from '../../../engine/schema/key-codec.js'
import { layoutOf } from '../../../engine/schema/row-layout.js'
import { LaneLog } from '../../../engine/shared/lane-log.js'
import { ImageKey } from '../../../engine/store/image-key.js'
import { CellMemory, RowCodec } from '../../../engine/store/row-codec.js'
import { writeImage } from '../../../engine/store/row-image.js'
import type { TableStore } from '../../../engine/store/table-store.js'
import { fixture } from './fixture.js'

const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const manyWords = Array.from({ length: 300 }, (_, at) => `w${at}`)
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('\0', '\x01', '\x02', 'a', 'é', '\uffff', '😀'), maxLength: 6 }),
  fc.string({ unit: fc.constantFrom('\0', '\x01', 'b', 'ü'), minLength: 15, maxLength: 60 }),
)
const values: Record<ColumnType, fc.Arbitrary<unknown>> = {
  bool: fc.boolean(),
  i32: fc.oneof(fc.constantFrom(-(2 ** 31), -1, 0, 2 ** 31 - 1), fc.integer()),
  u32: fc.oneof(fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1), fc.nat(2 ** 32 - 1)),
  int: fc.oneof(fc.constantFrom(0, 1, -1, 2 ** 53 - 1, -(2 ** 53 - 1)), fc.maxSafeInteger().map((n) => n + 0)),
  f64: fc.oneof(fc.constantFrom(0, 5e-324, -5e-324, Infinity, -Infinity), fc.double({ noNaN: true }).map((n) => n + 0)),
  timestamp: fc.integer({ min: -8.64e15, max: 8.64e15 }).map((n) => n + 0),
  bigint: fc.oneof(fc.constantFrom(0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  text,
  bytes: fc.uint8Array({ maxLength: 60 }),
  json: fc.constantFrom({ a: 1 }, 'x'.repeat(40), [1, 2, 3]),
  uuid: fc.uuid(),
  enum: fc.constantFrom('w0', 'w255', 'w256', 'w299'),
}
const columnOf = (type: ColumnType, nullable: boolean, at: number): ColumnDescriptor => ({
  name: `c${at}`, type, nullable, ...(type === 'enum' && { values: manyWords }),
})

const row = fc
  .array(fc.record({ type: fc.constantFrom(...(Object.keys(values) as ColumnType[])), nullable: fc.boolean(), inKey: fc.boolean() }), { minLength: 1, maxLength: 7 })
  .chain((of) => {
    const columns = of.map(({ type, nullable }, at) => columnOf(type, nullable, at))
    const cells = columns.map(({ type, nullable }) => (nullable ? fc.oneof(values[type], values[type], fc.constant(null)) : values[type]))
    const key = of.flatMap(({ type, inKey }, at) => (inKey && type !== 'json' ? [at] : []))
    return fc.record({ columns: fc.constant(columns), key: fc.shuffledSubarray(key, { minLength: Math.min(1, key.length) }), cells: fc.tuple(...cells) })
  })
  .filter(({ key }) => key.length > 0)

test(`an image has the key that its values have (seed ${seed})`, () => {
  fc.assert(
    fc.property(row, ({ columns, key, cells }) => {
      const { region, domain } = fixture(1 << 20)
      const table: TableDescriptor = { name: 't', columns, key, partition: 'global', ordered: false, indexes: [] }
      const layout = layoutOf(table)
      const memory = new CellMemory(region)
      const codec = new RowCodec(layout, memory)
      codec.stage(cells, domain)
      const address = domain.allocate(layout.words)
      codec.copyStaged(address)
      const log = LaneLog.create({ lanes: 1, transactions: 1, changes: 1, events: 1, bytes: 65_536 })
      log.beginLane(0)
      log.beginTransaction()
      const offset = log.absoluteOffset(writeImage(log, { layout } as TableStore, memory, region.i32, address * 2, { bytes: 0 }))

      const fromImage = new KeyBuffer()
      new ImageKey(table, layout).append({ ints: log.byteWords, bytes: log.bytes }, offset, fromImage)
      const fromValues = new KeyBuffer()
      compileKeyCodec(key.map((ordinal) => columns[ordinal]!)).encode(key.map((ordinal) => cells[ordinal]), fromValues)
      expect(Buffer.from(fromImage.view()).toString('hex')).toBe(Buffer.from(fromValues.view()).toString('hex'))
    }),
    { numRuns: 1_000, seed },
  )
})
