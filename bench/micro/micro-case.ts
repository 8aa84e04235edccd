/**
 * A case of the micro suite: `prepare` makes what is needed, and the function it returns does the operation
 * `operationsPerRun` times. Operations of tens of nanoseconds are run by the thousand, so that calling the function
 * is not what is measured.
 */
export interface MicroCase {
  readonly name: string
  prepare(): Promise<() => unknown> | (() => unknown)
}

export const operationsPerRun = 1_000

/** How much a case lays down before it runs: a fiftieth where the question is only whether it still does. */
export const laidDown = (count: number): number => (process.argv.includes('--smoke') ? count / 50 : count)
