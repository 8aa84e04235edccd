/**
 * What a command may be given, as data: parsing, help and messages about slips are made from it.
 */
import { parseArgs } from 'node:util'
import { didYouMean } from '../../engine/index.js'

export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  readonly multiple?: true
  readonly short?: string
  /** How the help calls the value. */
  readonly value?: string
  readonly what: string
}

export interface CommandShape {
  readonly name: string
  /** One line of the list of commands. */
  readonly summary: string
  /** `<dir> <newdir>`. */
  readonly places: readonly string[]
  readonly options: Readonly<Record<string, OptionSpec>>
  /** Paragraphs below the options. */
  readonly more: readonly string[]
}

/** The command was used in a wrong way: exit code 2, and the message on stderr. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export interface Given {
  readonly places: readonly string[]
  has(option: string): boolean
  /** The last value of an option. */
  value(option: string): string | undefined
  values(option: string): readonly string[]
}

export const helpOption: OptionSpec = { type: 'boolean', short: 'h', what: 'show this help' }

/** Reads the arguments behind the name of a command. */
export function readArguments(command: CommandShape, args: readonly string[]): Given {
  const specs: Readonly<Record<string, OptionSpec>> = { ...command.options, help: helpOption }
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, { type, short }]) => [
      name,
      { type, multiple: true, ...(short !== undefined && { short }) },
    ]),
  )
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true })
  const places: string[] = []
  const found = new Map<string, string[]>()
  for (const token of tokens) {
    if (token.kind === 'positional') places.push(token.value)
    if (token.kind !== 'option') continue
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined
    if (spec === undefined) {
      const hint = didYouMean(token.name, Object.keys(specs))
      throw new UsageError(`sluice ${command.name} has no option ${token.rawName}${hint.replace(/"(.*)"/, '--$1')}`)
    }
    if (spec.type === 'string' && (token.value === undefined || token.value === '')) {
      throw new UsageError(`--${token.name} needs a value: --${token.name} ${spec.value ?? 'value'}`)
    }
    if (spec.type === 'boolean' && token.value !== undefined) throw new UsageError(`--${token.name} takes no value`)
    const values = found.get(token.name) ?? []
    if (values.length > 0 && spec.type === 'string' && spec.multiple !== true) {
      throw new UsageError(`--${token.name} was given twice`)
    }
    values.push(token.value ?? '')
    found.set(token.name, values)
  }
  if (!found.has('help')) mustFit(command, places)
  return {
    places,
    has: (option) => found.has(option),
    value: (option) => found.get(option)?.at(-1),
    values: (option) => found.get(option) ?? [],
  }
}

function mustFit(command: CommandShape, places: readonly string[]): void {
  const wanted = command.places
  if (places.length === wanted.length && places.every((place) => place !== '')) return
  const usage = `usage: sluice ${command.name} ${wanted.map((place) => `<${place}>`).join(' ')}`
  if (places.length > wanted.length) {
    throw new UsageError(`"${places[wanted.length]}" is one argument too many; ${usage}`)
  }
  throw new UsageError(`<${wanted[places.length] ?? wanted[0]}> is missing; ${usage}`)
}

/** A whole number of at least 1. */
export function countOption(given: Given, option: string): number | undefined {
  const text = given.value(option)
  if (text === undefined) return undefined
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < 1 || !Number.isSafeInteger(count)) {
    throw new UsageError(`--${option} is a whole number from 1, not "${text}"`)
  }
  return count
}
