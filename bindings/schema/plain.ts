/**
 * Plain data in definitions: the default of a `json` column.
 *
 * A default is shared by every row, input and payload that leaves the column out, so it is copied once, when
 * it is declared, and its arrays and objects are frozen. What plain data is, is said in api.md: JSON,
 * `undefined`, `bigint`, bytes, dates.
 */
const depthMax = 512

/** A frozen copy, or undefined with the path of what is not plain data. */
export function plainCopy(value: unknown): { readonly copy: unknown } | { readonly wrong: string } {
  const wrong: string[] = []
  const copy = copyOf(value, 'default', 0, wrong)
  return wrong[0] === undefined ? { copy } : { wrong: wrong[0] }
}

function copyOf(value: unknown, path: string, depth: number, wrong: string[]): unknown {
  switch (typeof value) {
    case 'number':
      if (Number.isNaN(value)) wrong.push(path)
      return value === 0 ? 0 : value // -0 is stored as 0 (R31)
    case 'string':
      if (!isWellFormed(value)) wrong.push(path)
      return value
    case 'boolean':
    case 'bigint':
    case 'undefined':
      return value
    case 'object':
      break
    default:
      wrong.push(path)
      return undefined
  }
  if (value === null) return null
  if (depth > depthMax) {
    wrong.push(path)
    return undefined
  }
  if (Array.isArray(value)) {
    return Object.freeze(Array.from(value, (item, place) => copyOf(item, `${path}[${place}]`, depth + 1, wrong)))
  }
  if (isBytes(value)) return Uint8Array.from(value)
  if (value instanceof Date) return new Date(value)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    wrong.push(path)
    return undefined
  }
  const copy = {}
  for (const [name, property] of Object.entries(value)) {
    const copied = copyOf(property, `${path}.${name}`, depth + 1, wrong)
    Object.defineProperty(copy, name, { value: copied, enumerable: true })
  }
  return Object.freeze(copy)
}

/** No half of a surrogate pair stands alone (R31). */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

export function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]'
}
