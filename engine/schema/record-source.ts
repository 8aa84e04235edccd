/**
 * Sources of the code that record-codec.ts compiles. `vN` is the value of column N.
 *
 * Neighbours of fixed width that are never null and have no rules but bounds are a *run*: tested first, then stored, or loaded,
 * with one look at the room for all of them.
 */
import { AssertionError } from '../base/assert.js'
import { hasOnlyBounds } from './column-check.js'
import type { ColumnDescriptor, ColumnRules, ColumnType } from './descriptor.js'

const narrowEnumMax = 256
const json = JSON.stringify

/** Columns whose values are objects: what a program gets must be a copy of them. */
export function hasCopies(columns: readonly ColumnDescriptor[]): boolean {
  return columns.some(({ type }) => type === 'json' || type === 'bytes')
}

// ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────

interface Fixed {
  readonly bytes: number
  readonly method: string
}
const fixed: Readonly<Partial<Record<ColumnType, Fixed>>> = {
  bool: { bytes: 1, method: 'Uint8' },
  i32: { bytes: 4, method: 'Int32' },
  u32: { bytes: 4, method: 'Uint32' },
  int: { bytes: 8, method: 'Float64' },
  timestamp: { bytes: 8, method: 'Float64' },
  f64: { bytes: 8, method: 'Float64' },
  bigint: { bytes: 8, method: 'BigInt64' },
}

interface Step {
  readonly column: ColumnDescriptor
  readonly at: number
}

/** The columns in order: neighbours that make a run together, the others alone. */
function runsOf(columns: readonly ColumnDescriptor[], isInRun: (column: ColumnDescriptor, at: number) => boolean): Step[][] {
  const runs: Step[][] = []
  let isOpen = false
  for (const [at, column] of columns.entries()) {
    const isMember = !column.nullable && fixed[column.type] !== undefined && isInRun(column, at)
    if (isMember && isOpen) runs.at(-1)!.push({ column, at })
    else runs.push([{ column, at }])
    isOpen = isMember
  }
  return runs
}

/** `work` with the place of each member, and the bytes of all. */
function places(run: readonly Step[], work: (step: Step, from: number, kind: Fixed) => string): { readonly lines: readonly string[]; readonly bytes: number } {
  let bytes = 0
  const lines = run.map((step) => {
    const kind = fixed[step.column.type]!
    const line = work(step, bytes, kind)
    bytes += kind.bytes
    return line
  })
  return { lines, bytes }
}

// ── taking and checking ───────────────────────────────────────────────────────────────────────────────────

/** Takes the columns out of `value`, each once (R2). */
function takeSource(columns: readonly ColumnDescriptor[]): string {
  const locals = columns.map((_, at) => `v${at}`)
  const owned = columns.map(({ name }, at) => `if (hasOwn(value, ${json(name)})) v${at} = value[${json(name)}]`)
  const inOrder = columns.map(({ name }, at) => ` && keys[${at}] === ${json(name)}`).join('')
  return `
    const keys = value === undefined ? [] : keysOf(value)
    ${locals.length === 0 ? '' : `let ${locals.join(', ')}`}
    if (keys.length === ${columns.length}${inOrder}) {
      ${columns.map(({ name }, at) => `v${at} = value[${json(name)}]`).join('\n      ')}
    } else {
      refuseUnknown(keys)
      if (value !== undefined) {
        ${owned.join('\n        ')}
      }
    }`
}

export function normalizeSource(columns: readonly ColumnDescriptor[]): string {
  const fields = columns.map(({ name }, at) => `${json(name)}: accept(${at}, v${at})`)
  return `
const { keysOf, refuseUnknown, hasOwn, accept, invalid } = shared
return function normalize(value) {
  try {
    ${takeSource(columns)}
    return { ${fields.join(', ')} }
  } catch (error) {
    throw invalid(error)
  }
}`
}

// ── encoding ──────────────────────────────────────────────────────────────────────────────────────────────

/** `isKept`: the function answers the record. No column of it `hasCopies`. */
export function encodeSource(columns: readonly ColumnDescriptor[], rules: ColumnRules, isKept: boolean): string {
  const fills = columns.flatMap((column, at) => {
    if (column.default !== undefined) return [`if (v${at} === undefined) v${at} = fill${at}`]
    return column.nullable ? [`if (v${at} === undefined) v${at} = null`] : []
  })
  const bits = nullBytes(columns).map((group) => {
    return `writer.u8(${group.map((at, bit) => `(v${at} === null ? ${1 << bit} : 0)`).join(' | ')})`
  })
  const writes = runsOf(columns, (column, at) => hasOnlyBounds(column, at, rules)).map((run) => {
    if (run.length > 1) return writeRun(run)
    const { column, at } = run[0]!
    const one = writeSource(column, at, hasOnlyBounds(column, at, rules))
    return column.nullable ? `if (v${at} !== null) {\n      ${one}\n    }` : one
  })
  const constants = columns.map((_, at) => {
    const bounds = `low${at} = shared.low[${at}], high${at} = shared.high[${at}]`
    return `const ${bounds}, places${at} = shared.places[${at}], fill${at} = shared.fills[${at}]`
  })
  const record = `return { ${columns.map((column, at) => `${json(column.name)}: ${keptSource(column, at)}`).join(', ')} }`
  return `
const { keysOf, refuseUnknown, hasOwn, accept, refuse, invalid, isInteger, writeJson, writeUuid } = shared
${constants.join('\n')}
return function encode(value, writer) {
  const start = writer.length
  try {
    ${[takeSource(columns), ...fills, ...bits, ...writes, ...(isKept ? [record] : [])].join('\n    ')}
  } catch (error) {
    writer.rewind(start)
    throw invalid(error)
  }
}`
}

/** What is read back: -0 was stored as 0. */
function keptSource({ type, nullable }: ColumnDescriptor, at: number): string {
  const isNumber = type === 'i32' || type === 'u32' || type === 'int' || type === 'timestamp' || type === 'f64'
  if (!isNumber) return `v${at}`
  return nullable ? `v${at} === null ? null : v${at} + 0` : `v${at} + 0`
}

function writeRun(run: readonly Step[]): string {
  const first = run[0]!.at
  const tests = run.map(({ column, at }) => `if (!(${testSource(column, at)})) refuse(${at}, v${at})`)
  const { lines, bytes } = places(run, ({ column, at }, from, { method }) => `view${first}.set${method}(at${first} + ${from}, ${storedSource(column, at)}, true)`)
  return [...tests, `const at${first} = writer.take(${bytes}), view${first} = writer.view`, ...lines].join('\n    ')
}

/** What a bare value of a fixed width must be. */
function testSource({ type }: ColumnDescriptor, at: number): string {
  const v = `v${at}`
  const bounded = `${v} >= low${at} && ${v} <= high${at}`
  switch (type) {
    case 'bool': return `typeof ${v} === 'boolean'`
    case 'bigint': return `typeof ${v} === 'bigint' && ${bounded}`
    case 'f64': return `typeof ${v} === 'number' && ${bounded}`
    default: return `typeof ${v} === 'number' && ${bounded} && isInteger(${v})`
  }
}

function storedSource({ type }: ColumnDescriptor, at: number): string {
  if (type === 'bool') return `v${at} ? 1 : 0`
  return type === 'f64' || type === 'int' || type === 'timestamp' ? `v${at} + 0` : `v${at}`
}

/** The ordinals of the nullable columns, eight to a byte. */
function nullBytes(columns: readonly ColumnDescriptor[]): number[][] {
  const nullable = columns.flatMap((column, at) => (column.nullable ? [at] : []))
  const groups: number[][] = []
  for (let at = 0; at < nullable.length; at += 8) groups.push(nullable.slice(at, at + 8))
  return groups
}

const writerMethods: Readonly<Partial<Record<ColumnType, string>>> = { bool: 'u8', i32: 'i32', u32: 'u32', int: 'f64', timestamp: 'f64', f64: 'f64', bigint: 'i64' }

/** Test and write of one value. With more rules than bounds the validator decides, and only the writing is compiled. */
function writeSource(column: ColumnDescriptor, at: number, isBare: boolean): string {
  const v = `v${at}`
  const refuse = `refuse(${at}, ${v})`
  const accepted = isBare ? '' : `${v} = accept(${at}, ${v}); `
  const method = writerMethods[column.type]
  if (method !== undefined) {
    const write = `writer.${method}(${storedSource(column, at)})`
    return isBare ? `if (${testSource(column, at)}) ${write}; else ${refuse}` : accepted + write
  }
  switch (column.type) {
    case 'text':
      if (!isBare) return `${accepted}writer.text(${v})`
      return `if (typeof ${v} !== 'string' || !writer.tryText(${v})) ${refuse}`
    case 'uuid':
      return `${v} = accept(${at}, ${v}); writeUuid(${v}, writer)`
    case 'enum': {
      const place = `places${at}.get(${v})`
      const write = `writer.${(column.values?.length ?? 0) <= narrowEnumMax ? 'u8' : 'u16'}(p${at})`
      const test = isBare ? `if (p${at} !== undefined) ${write}; else ${refuse}` : write
      return `${accepted}const p${at} = ${place}; ${test}`
    }
    case 'bytes':
      return `writer.sized(accept(${at}, ${v}))`
    case 'json': {
      const write = `writeJson(${at}, ${v}, writer)`
      return isBare ? `if (${v} !== undefined) ${write}; else ${refuse}` : accepted + write
    }
    default:
      return unreachableColumn(column)
  }
}

function unreachableColumn({ type }: ColumnDescriptor): never {
  throw new AssertionError(`a column of type ${type} is written by a method of the writer`)
}

// ── decoding ──────────────────────────────────────────────────────────────────────────────────────────────

export function decodeSource(columns: readonly ColumnDescriptor[]): string {
  const groups = nullBytes(columns)
  const isNull = new Map(
    groups.flatMap((group, byte) => group.map((at, bit) => [at, `(n${byte} & ${1 << bit}) !== 0`])),
  )
  const reads = runsOf(columns, () => true).map((run) => {
    if (run.length > 1) return readRun(run)
    const { column, at } = run[0]!
    const condition = isNull.get(at)
    const one = readSource(column, at)
    return `const v${at} = ${condition === undefined ? one : `${condition} ? null : ${one}`}`
  })
  const fields = columns.map((column, at) => `${json(column.name)}: v${at}`)
  return `
const { readJson, readUuid, readWord, readBytes, words } = shared
return function decode(reader) {
  ${[...groups.map((_, byte) => `const n${byte} = reader.u8()`), ...reads].join('\n  ')}
  return { ${fields.join(', ')} }
}`
}

function readRun(run: readonly Step[]): string {
  const first = run[0]!.at
  const { lines, bytes } = places(run, ({ column, at }, from, { method }) => {
    const load = `view${first}.get${method}(at${first} + ${from}, true)`
    return `const v${at} = ${column.type === 'bool' ? `${load} === 1` : load}`
  })
  return [`const at${first} = reader.take(${bytes}), view${first} = reader.view`, ...lines].join('\n  ')
}

function readSource(column: ColumnDescriptor, at: number): string {
  switch (column.type) {
    case 'bool': return 'reader.u8() === 1'
    case 'i32': return 'reader.i32()'
    case 'u32': return 'reader.u32()'
    case 'int': case 'timestamp': case 'f64': return 'reader.f64()'
    case 'bigint': return 'reader.i64()'
    case 'text': return 'reader.text()'
    case 'uuid': return 'readUuid(reader)'
    case 'enum': {
      const width = (column.values?.length ?? 0) <= narrowEnumMax ? 'u8' : 'u16'
      return `readWord(words[${at}], reader.${width}())`
    }
    case 'bytes': return 'readBytes(reader)'
    case 'json': return 'readJson(reader)'
  }
}
