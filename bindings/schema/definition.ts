/**
 * What all builders share: how a handle keeps its definition, and how a wrong definition is refused.
 *
 * Definitions are written once, at the top level of modules, often in plain JavaScript: everything the types
 * promise is checked again here, and each message names the definition (`table 'bank.account'`) and what to
 * do.
 *
 * A definition hangs on its handle under a registered symbol and not in a WeakMap: two copies of the package
 * in one process (a test that loads the sources beside the installed package) then still understand each
 * other's handles.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { limits } from '../../engine/base/limits.js'

/**
 * One kind of definition; `of` finds what `attach` has put on a handle, and is how handles are recognised.
 */
export class DefinitionKind<Definition extends object> {
  readonly noun: string
  readonly #key: symbol

  constructor(noun: string) {
    this.noun = noun
    this.#key = Symbol.for(`sluicedb.${noun}`)
  }

  attach<Handle extends object>(handle: Handle, definition: Definition): Handle {
    return Object.defineProperty(handle, this.#key, { value: definition })
  }

  of(handle: unknown): Definition | undefined {
    if ((typeof handle !== 'object' && typeof handle !== 'function') || handle === null) return undefined
    return (handle as Record<symbol, Definition | undefined>)[this.#key]
  }
}

export function invalidDefinition(
  message: string,
  details?: Readonly<Record<string, unknown>>,
  cause?: unknown,
): SluiceError {
  return SluiceError.of('INVALID_DEFINITION', message, { details, cause })
}

const shownLengthMax = 60

/** A value as a message shows it: short, on one line, and never by calling the user's code. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (value.length > shownLengthMax) return `${shown(value.slice(0, shownLengthMax))} and more`
      return `'${JSON.stringify(value).slice(1, -1)}'`
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object'
    case 'symbol':
      return 'a symbol'
    default:
      return String(value)
  }
}

const namePattern = /^[A-Za-z][A-Za-z0-9_]*$/
const reservedNames: ReadonlySet<string> = new Set(['constructor', 'prototype'])

/** R64: names are safe as property names, file names and words of generated code. */
export function checkName(name: unknown, what: string): asserts name is string {
  if (typeof name !== 'string') throw invalidDefinition(`The name of ${what} must be text, not ${shown(name)}.`)
  if (!namePattern.test(name) || name.length > limits.namesLengthMax) {
    throw invalidDefinition(
      `${shown(name)} cannot be the name of ${what}: a name is a letter, then letters, digits or '_', ` +
        `at most ${limits.namesLengthMax} in all.`,
    )
  }
  if (reservedNames.has(name))
    throw invalidDefinition(`'${name}' cannot be the name of ${what}: JavaScript uses it.`)
}

/** The own properties of an object of definitions, in the order they were written. */
export function entriesOf(value: unknown, what: string): [name: string, value: unknown][] {
  if (value === undefined) return []
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidDefinition(`${what} must be an object with one property for each, not ${shown(value)}.`)
  }
  return Object.entries(value)
}

/** The options of a definition: an object with these properties and no other. */
export function checkOptions(
  options: unknown,
  what: string,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidDefinition(`The options of ${what} must be an object, not ${shown(options)}.`)
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    throw invalidDefinition(`${what} has no option '${key}'; its options are ${known.join(', ')}.`)
  }
  return options as Readonly<Record<string, unknown>>
}

export function checkFlag(value: unknown, what: string): boolean {
  if (value !== undefined && typeof value !== 'boolean')
    throw invalidDefinition(`${what} is true or false, not ${shown(value)}.`)
  return value === true
}

export function checkFunction(value: unknown, what: string): asserts value is (...args: never[]) => unknown {
  if (typeof value !== 'function') throw invalidDefinition(`${what} must be a function, not ${shown(value)}.`)
}

/** An object of handles by name: without a prototype, so that `handles.constructor` is undefined (R64). */
export function byName<Handle>(
  handles: Iterable<readonly [name: string, handle: Handle]>,
): Readonly<Record<string, Handle>> {
  const object: Record<string, Handle> = Object.create(null)
  for (const [name, handle] of handles) object[name] = handle
  return Object.freeze(object)
}
