/**
 * `npm run demo`: the Online Marketplace, killed in mid-load and asked whether anything is wrong.
 *
 *   parent                                   owner (a process of its own)
 *   ------                                   ----------------------------
 *   starts it                                open, populate
 *   counts acknowledgements        <-------  load
 *   SIGKILL                                  †
 *   starts it again                          open: recovery
 *   says what was acknowledged     ------->  audit of the recovered state, before anything else runs
 *   counts acknowledgements        <-------  the unanswered requests again, then new load
 *   says stop                                criteria 1–10 on a snapshot, 9, 10, 12 on the log, 11 by a serial replay
 *
 * Only what has arrived at the parent counts as acknowledged, so that the judge of durability is not the one
 * who may forget. Exit code: 0 all criteria hold, 1 one does not or the owner misbehaved, 2 wrong options.
 */
import { writeFileSync } from 'node:fs'
import { Demo } from './demo.js'
import { parseOptions, usage, type DemoOptions } from './options.js'
import { reportHtml } from './report.js'
import { figuresAndFacts, printSummary } from './summary.js'
import { Terminal } from './terminal.js'

async function main(): Promise<number> {
  const terminal = new Terminal(process.stdout)
  let options: DemoOptions | undefined
  let demo: Demo | undefined
  try {
    options = parseOptions(process.argv.slice(2))
    demo = options && new Demo(options, terminal)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}\n`)
    return 2
  }
  if (!options || !demo) {
    process.stdout.write(`${usage}\n`)
    return 0
  }

  const abandon = (): Promise<void> => demo.abandon()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void abandon().finally(() => process.exit(130)))
  }
  const run = await demo.run()
  await abandon()
  printSummary(terminal, run)
  writeFileSync(options.report, reportHtml({ ...run, ...figuresAndFacts(run, options) }))
  const verdict = run.passed
    ? terminal.paint('green', '✓ all criteria hold')
    : terminal.paint('red', '✗ the run failed')
  terminal.say(`${verdict}; report: ${options.report}`)
  return run.passed ? 0 : 1
}

process.exitCode = await main()
