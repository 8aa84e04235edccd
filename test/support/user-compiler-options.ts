/** How the tests compile a user's program: strict, as the README recommends, for Node's own modules. */
export const userCompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  target: 'es2022',
  module: 'nodenext',
  lib: ['es2022'],
} as const
