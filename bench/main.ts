/**
 * The benchmarks of the whole engine.
 *
 *   npm run bench                                       all of them, each in a process of its own
 *   npm run bench -- transfer-fsync point-read          some
 *   npm run bench -- --list                             what there is
 *   npm run bench -- idle --smoke                       tiny: does it still run?
 *   npm run bench -- memory --set rows=100000           another parameter
 *   npm run bench -- idle --json                        one line of JSON instead of the table
 *
 * A missed goal is printed and does not fail the run; a wrong result does.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bench } from './harness.js'
import type { Benchmark } from './macro/benchmark.js'
import { recordText, writeRecord } from './report.js'

/** Loaded one by one: a benchmark that is not asked for brings neither its modules nor its application. */
const benchmarks: Readonly<Record<string, () => Promise<Benchmark>>> = {
  'transfer-fsync': async () => (await import('./macro/transfer-fsync.js')).transferFsync,
  'transfer-shares': async () => (await import('./macro/transfer-shares.js')).transferShares,
  'transfer-inline': async () => (await import('./macro/transfer-inline.js')).transferInline,
  'submit-many': async () => (await import('./macro/submit-many.js')).submitMany,
  'two-workers': async () => (await import('./macro/two-workers.js')).twoWorkers,
  'scaling': async () => (await import('./macro/scaling.js')).scaling,
  'point-read': async () => (await import('./macro/point-read.js')).pointRead,
  'commit-to-subscriber': async () => (await import('./macro/commit-to-subscriber.js')).commitToSubscriber,
  'live-stream': async () => (await import('./macro/live-stream.js')).liveStream,
  'catch-up': async () => (await import('./macro/catch-up.js')).catchUp,
  'many-subscribers': async () => (await import('./macro/many-subscribers.js')).manySubscribers,
  'open': async () => (await import('./macro/open.js')).openRows,
  'open-memory': async () => (await import('./macro/open-memory.js')).openMemory,
  'replay': async () => (await import('./macro/replay.js')).replay,
  'checkpoint-cost': async () => (await import('./macro/checkpoint-cost.js')).checkpointCost,
  'memory': async () => (await import('./macro/memory.js')).memory,
  'memory-flat': async () => (await import('./macro/memory-flat.js')).memoryFlat,
  'pauses': async () => (await import('./macro/pauses.js')).pauses,
  'tpcc': async () => (await import('./macro/tpcc.js')).tpcc,
  'start': async () => (await import('./macro/start.js')).start,
  'time-travel': async () => (await import('./macro/time-travel.js')).timeTravel,
  'rebuild-aggregate': async () => (await import('./macro/rebuild-aggregate.js')).rebuildAggregate,
  'idle': async () => (await import('./macro/idle.js')).idle,
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      smoke: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      set: { type: 'string', multiple: true, default: [] },
    },
  })
  if (values.list) return list()
  const unknown = positionals.filter((name) => !Object.hasOwn(benchmarks, name))
  if (unknown.length > 0) {
    console.error(`no benchmark ${unknown.join(', ')}; there are ${Object.keys(benchmarks).join(', ')}`)
    return 2
  }
  const names = positionals.length > 0 ? positionals : Object.keys(benchmarks)
  if (names.length > 1) return eachInItsOwnProcess(names)

  const [name] = names as [string]
  const benchmark = await (benchmarks[name] as () => Promise<Benchmark>)()
  const set = new Map(values.set.map(parameter))
  const record = await bench(name, { smoke: values.smoke, set }, (b) => benchmark.run(b))
  for (const parameterName of set.keys()) {
    if (!Object.hasOwn(record.parameters, parameterName)) throw new Error(`${name} has no parameter "${parameterName}"`)
  }
  if (!values.smoke) writeRecord(record)
  console.log(values.json ? JSON.stringify(record) : `${recordText(record)}\n`)
  return 0
}

async function list(): Promise<number> {
  for (const [name, load] of Object.entries(benchmarks)) console.log(`${name.padEnd(22)} ${(await load()).about}`)
  return 0
}

function eachInItsOwnProcess(names: readonly string[]): number {
  const flags = process.argv.slice(2).filter((argument) => !Object.hasOwn(benchmarks, argument))
  const failed = names.filter((name) => {
    const command = [...process.execArgv, fileURLToPath(import.meta.url), name, ...flags]
    return spawnSync(process.execPath, command, { stdio: 'inherit' }).status !== 0
  })
  if (failed.length > 0) console.error(`failed: ${failed.join(', ')}`)
  return failed.length > 0 ? 1 : 0
}

function parameter(text: string): [string, number] {
  const [name = '', value = ''] = text.split('=')
  const number = Number(value.replaceAll('_', ''))
  if (name === '' || value === '' || !Number.isFinite(number)) throw new Error(`--set wants name=number, not "${text}"`)
  return [name, number]
}

process.exitCode = await main()
