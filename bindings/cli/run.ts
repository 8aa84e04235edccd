/**
 * The command `sluice`: finds the command, runs it, and turns its end into an exit code: 0 well, 1 damaged or refused, 2 wrong use.
 */
import { SluiceError } from '../../engine/base/errors.js'
import { version } from '../../engine/base/version.js'
import { didYouMean } from '../../engine/index.js'
import { readArguments, UsageError } from './arguments.js'
import type { Command, Terminal } from './command.js'
import { helpOf, overview } from './help.js'
import { infoCommand } from './info-command.js'
import { logCommand } from './log-command.js'
import { Output, Progress, ReaderGone, type Sink } from './output.js'
import { restoreCommand } from './restore-command.js'
import { salvageCommand } from './salvage-command.js'
import { schemaCommand } from './schema-command.js'
import { plain } from './value-text.js'
import { verifyCommand } from './verify-command.js'

const commands: readonly Command[] = [infoCommand, logCommand, schemaCommand, verifyCommand, salvageCommand, restoreCommand]

const well = 0
const refused = 1
const wrongUse = 2

export async function run(args: readonly string[], stdout: Sink, stderr: Sink): Promise<number> {
  const out = new Output(stdout)
  const err = new Output(stderr)
  const progress = new Progress(err)
  const say = (text: string): void => {
    progress.clear()
    err.line(text)
  }
  try {
    const code = await dispatch(args, { out, progress, note: say })
    progress.clear()
    await out.flush()
    await err.flush()
    return code
  } catch (error) {
    if (error instanceof ReaderGone) return well
    // What was found before the error is part of the answer.
    await out.flush().catch(() => undefined)
    say(error instanceof UsageError ? `sluice: ${plain(error.message)}` : describe(error))
    await err.flush().catch(() => undefined)
    return error instanceof UsageError ? wrongUse : refused
  }
}

async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const command = name === 'help' && rest[0] !== undefined ? commandOf(rest[0]) : undefined
    terminal.out.line(command === undefined ? overview(commands) : helpOf(command))
    return name === undefined ? wrongUse : well
  }
  if (name === '--version' || name === '-v') {
    terminal.out.line(version)
    return well
  }
  const command = commandOf(name)
  const given = readArguments(command, rest)
  if (given.has('help')) {
    terminal.out.line(helpOf(command))
    return well
  }
  return await command.run(given, terminal)
}

function commandOf(name: string): Command {
  const command = commands.find((one) => one.name === name)
  if (command !== undefined) return command
  const names = commands.map((one) => one.name)
  throw new UsageError(`there is no command "${name}"${didYouMean(name, names)}; commands: ${names.join(', ')}`)
}

/** Codes for programs, sentences for people; a stack only for what must not happen. */
function describe(error: unknown): string {
  if (SluiceError.is(error)) return `sluice: ${error.code}: ${plain(error.message)}`
  return `sluice: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
}
