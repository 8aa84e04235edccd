/** What a command is, and what it talks to. */
import type { CommandShape, Given } from './arguments.js'
import type { Output, Progress } from './output.js'

export interface Terminal {
  readonly out: Output
  /** On stderr; only where that is a terminal. */
  readonly progress: Progress
  /** A sentence on stderr, beside the output. */
  note(text: string): void
}

export interface Command extends CommandShape {
  /** Answers the exit code: 0 well, 1 damaged. Wrong use is a `UsageError`, everything that is refused a `SluiceError`. */
  readonly run: (given: Given, terminal: Terminal) => Promise<number>
}
