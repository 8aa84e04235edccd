/** Bytes in and out: inputs, results, keys. */
import { ByteReader, ByteWriter } from '../../engine/base/bytes.js'
import { decodeCanonical, encodeCanonical } from '../../engine/base/canonical.js'
import { compileKeyCodec, KeyBuffer } from '../../engine/schema/key-codec.js'
import { compileRecordCodec } from '../../engine/schema/record-codec.js'
import type { ColumnDescriptor } from '../../engine/schema/descriptor.js'
import { operationsPerRun, type MicroCase } from './micro-case.js'

const column = (name: string, type: ColumnDescriptor['type']): ColumnDescriptor => ({ name, type, nullable: false })
const columns = [column('from', 'text'), column('to', 'text'), column('amount', 'int')]
const record = () => compileRecordCodec({ columns }, { checks: [], json: [] }, 'the input of a benchmark')
const numbers = Array.from({ length: operationsPerRun }, (_, n) => n)
const inputs = numbers.map((n) => ({ from: `account-${n}`, to: `account-${n * 7}`, amount: n + 1 }))
const results = numbers.map((left) => ({ left }))

export const codecCases: readonly MicroCase[] = [
  {
    name: 'encode an input { from, to, amount }',
    prepare() {
      const codec = record()
      const writer = new ByteWriter()
      return () => {
        for (const input of inputs) {
          writer.reset()
          codec.encode(input, writer)
        }
        return writer.length
      }
    },
  },
  {
    name: 'decode an input { from, to, amount }',
    prepare() {
      const codec = record()
      const encoded = inputs.map((input) => {
        const writer = new ByteWriter()
        codec.encode(input, writer)
        return writer.copy()
      })
      const reader = new ByteReader(new Uint8Array(0))
      return () => {
        let sum = 0
        for (const bytes of encoded) {
          reader.reset(bytes)
          sum += codec.decode(reader)['amount'] as number
        }
        return sum
      }
    },
  },
  {
    name: 'encode a result { left }',
    prepare() {
      const writer = new ByteWriter()
      return () => {
        for (const result of results) {
          writer.reset()
          encodeCanonical(result, writer)
        }
        return writer.length
      }
    },
  },
  {
    name: 'decode a result { left }',
    prepare() {
      const encoded = results.map((result) => {
        const writer = new ByteWriter()
        encodeCanonical(result, writer)
        return writer.copy()
      })
      const reader = new ByteReader(new Uint8Array(0))
      return () => {
        let sum = 0
        for (const bytes of encoded) {
          reader.reset(bytes)
          sum += (decodeCanonical(reader) as { left: number }).left
        }
        return sum
      }
    },
  },
  {
    name: 'encode a key [text, int]',
    prepare() {
      const codec = compileKeyCodec([column('account', 'text'), column('seq', 'int')])
      const keys = inputs.map(({ from, amount }) => [from, amount] as const)
      const buffer = new KeyBuffer()
      return () => {
        for (const key of keys) {
          buffer.reset()
          codec.encode(key, buffer)
        }
        return buffer.length
      }
    },
  },
]
