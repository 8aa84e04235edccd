/** A program that says `ack n` when everything below n is acknowledged: started, let get under load, and killed at a moment that nobody chose. */
import { expect } from 'vitest'
import { start } from './child.js'
import type { Random } from './random.js'

/** Kills it once; answers the last number that it acknowledged. */
export async function killUnderLoad(child: string, args: readonly (string | number)[], random: Random): Promise<number> {
  const program = start(['--import', 'tsx', child, ...args.map(String)])
  let acknowledged = 0
  program.onLine((line) => {
    if (line.startsWith('ack ')) acknowledged = Number(line.slice(4))
  })
  await program.line(/^ack/, 60_000)
  await new Promise((resolve) => setTimeout(resolve, random.below(300)))
  expect(program.process.exitCode, program.errors.join('\n')).toBe(null)
  program.process.kill('SIGKILL')
  expect((await program.ended).signal).toBe('SIGKILL')
  return acknowledged
}
