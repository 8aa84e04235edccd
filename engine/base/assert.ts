/** Assertions stay on in production: a false one means that the program is wrong, and the database stops. */

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** `invariant` is the sentence that must hold, with its number where it has one ("R10: ts never goes back"). */
export function assert(condition: unknown, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant)
}

export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`)
}
