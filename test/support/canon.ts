/**
 * Values as text, so that states of two kinds can be compared and shown: -0, bigint, bytes, dates and
 * `undefined` stay different from their look-alikes.
 */
export function canon(value: unknown): string {
  switch (typeof value) {
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'string':
      return JSON.stringify(value)
    case 'object':
      if (value === null) return 'null'
      if (value instanceof Uint8Array)
        return `<${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}>`
      if (value instanceof Date) return `date ${value.getTime()}`
      if (Array.isArray(value)) return `[${value.map(canon).join(',')}]`
      return `{${Object.entries(value)
        .map(([name, entry]) => `${JSON.stringify(name)}:${canon(entry)}`)
        .sort()
        .join(',')}}`
    case 'boolean':
    case 'undefined':
      return String(value)
    default:
      return typeof value
  }
}
