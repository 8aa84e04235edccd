/** The options of `npm run demo`, with their defaults. */
import { parseArgs } from 'node:util'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { workloadDefaults } from '../workloads/marketplace/generator.js'

export interface DemoOptions {
  /** Seconds of load, before and after the kill together. */
  readonly seconds: number
  readonly customers: number
  readonly products: number
  readonly workers: number
  readonly outstanding: number
  readonly seed: number
  readonly skew: number
  /** Where the database of the run is made, and removed again. */
  readonly directory: string
  readonly report: string
}

export const usage = `npm run demo -- [options]
  --seconds N      seconds of load, before and after the kill together (default 8)
  --customers N    customers (default ${workloadDefaults.customers})
  --products N     products, ten of each seller (default ${workloadDefaults.products})
  --workers N      partition workers, 0 runs everything on one thread (default 1)
  --outstanding N  customers at work at the same time (default 96)
  --skew N         0 picks products uniformly, 1 makes a few of them hot (default 0)
  --seed N         the run is a function of it, up to timing (default 1)
  --dir PATH       where the database is made (default: the directory for temporary files)
  --report FILE    the report (default demo-report.html)
  --help`

/** Undefined: help was asked for. Throws with a sentence for the user. */
export function parseOptions(args: readonly string[]): DemoOptions | undefined {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: text,
      customers: text,
      products: text,
      workers: text,
      outstanding: text,
      skew: text,
      seed: text,
      dir: text,
      report: text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) return undefined
  const number = (
    name: keyof typeof values,
    otherwise: number,
    low: number,
    high: number,
    whole = true,
  ): number => {
    const given = values[name]
    if (given === undefined) return otherwise
    const value = Number(given)
    const right = given !== '' && value >= low && value <= high && (!whole || Number.isInteger(value))
    if (!right)
      throw new Error(
        `--${name} is ${whole ? 'a whole number' : 'a number'} from ${low} to ${high}, not "${String(given)}".`,
      )
    return value
  }
  return {
    seconds: number('seconds', 8, 1, 600, false),
    customers: number('customers', workloadDefaults.customers, 1, 1_000_000),
    products: number('products', workloadDefaults.products, 10, 1_000_000),
    workers: number('workers', 1, 0, 64),
    outstanding: number('outstanding', 96, 1, 4_096),
    skew: number('skew', workloadDefaults.skew, 0, 2, false),
    seed: number('seed', workloadDefaults.seed, 0, 0x7fff_ffff),
    directory: resolve(values.dir ?? tmpdir()),
    report: resolve(values.report ?? 'demo-report.html'),
  }
}
