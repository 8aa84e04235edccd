/** Help, made from the shapes of the commands. */
import { helpOption, type CommandShape } from './arguments.js'

export function overview(commands: readonly CommandShape[]): string {
  const rows = commands.map((one): Row => [usageOf(one), one.summary])
  return [
    'Looks at a SluiceDB database without its application, and makes new databases of it. Nothing is written into <dir>.',
    '',
    'usage: sluice <command> <dir> [options]',
    '',
    ...columns(rows),
    '',
    'sluice <command> --help tells all about a command, sluice --version the version.',
    'Exit codes: 0 well, 1 damaged or not possible, 2 wrong use.',
  ].join('\n')
}

export function helpOf(command: CommandShape): string {
  const rows = Object.entries({ ...command.options, help: helpOption }).map(([name, option]): Row => {
    const value = option.type === 'string' ? ` <${option.value ?? 'value'}>` : ''
    const short = option.short === undefined ? '' : `-${option.short}, `
    return [`${short}--${name}${value}`, option.multiple ? `${option.what} (may be given more than once)` : option.what]
  })
  const more = command.more.flatMap((paragraph) => ['', paragraph])
  return [`usage: sluice ${usageOf(command)} [options]`, '', command.summary, '', ...columns(rows), ...more].join('\n')
}

type Row = readonly [name: string, what: string]

const usageOf = (command: CommandShape): string =>
  [command.name, ...command.places.map((place) => `<${place}>`)].join(' ')

function columns(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, what]) => `  ${name.padEnd(width)}   ${what}`)
}
