/**
 * Values for people: short, on one line, and harmless to a terminal whatever somebody has stored. What is cut says so; JSON
 * output is the whole truth.
 */
const textLengthMax = 120
const bytesShownMax = 24

/** Everything that a terminal might obey: control characters, and what turns the direction of writing. */
const hostile = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g
const escaped = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Text that was written by somebody else, on one line, without quotes: names, ids, messages. */
export function plain(text: string): string {
  return text.replace(hostile, (letter) => (letter === '\n' ? '\\n' : escaped(letter)))
}

export function quoted(text: string): string {
  const rest = text.length - textLengthMax
  const shown = rest > 0 ? text.slice(0, textLengthMax) : text
  const body = plain(shown.replaceAll('\\', '\\\\').replaceAll("'", "\\'"))
  return rest > 0 ? `'${body}…' (${text.length} characters)` : `'${body}'`
}

export function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quoted(value)
    case 'bigint':
      return `${value}n`
    case 'object':
      return value === null ? 'null' : textOfObject(value)
    default:
      return String(value)
  }
}

function textOfObject(value: object): string {
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) {
    const hex = Buffer.from(value.subarray(0, bytesShownMax)).toString('hex')
    return value.length > bytesShownMax ? `0x${hex}… (${value.length} bytes)` : `0x${hex}`
  }
  if (Array.isArray(value)) return cut(`[${value.map(textOf).join(', ')}]`)
  return cut(`{ ${fieldsText(value as Readonly<Record<string, unknown>>)} }`)
}

/** `amount 5, note 'rent'`. */
export function fieldsText(fields: Readonly<Record<string, unknown>>, without: readonly string[] = []): string {
  const shown = Object.entries(fields).filter(([name]) => !without.includes(name))
  return shown.map(([name, value]) => `${plain(name)} ${textOf(value)}`).join(', ')
}

const cut = (text: string): string => (text.length > 4 * textLengthMax ? `${text.slice(0, 4 * textLengthMax)}…` : text)

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `12.3 MiB`. */
export function bytesText(bytes: number): string {
  let amount = bytes
  let unit = 0
  while (amount >= 1_024 && unit < units.length - 1) {
    amount /= 1_024
    unit += 1
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`
}

/** `1 row`, `2,000 rows`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}
