/** A program that says `ack n` when everything below n is acknowledged: started, let get under load, and killed at a moment that nobody chose. */
import { describe, expect, test } from 'vitest'
import { startCompiled } from './child.js'
import { newFolder } from './fixture.js'
import { type Random, seeds, withSeed } from './random.js'

/** `verify` opens what was killed and compares; it answers the first number that nothing has, with which the next life begins. */
export function describeKills(child: string, kills: number, verify: (path: string, acknowledged: number) => Promise<number>): void {
  describe.each([0, 1])('workers %i', (workers) => {
    test.each(seeds(1))(`${kills} kills, seed %i`, { timeout: 120_000 }, async (seed) => {
      await withSeed(seed + workers, async (random) => {
        const path = await newFolder()
        let next = 0
        for (let round = 0; round < kills; round += 1) next = await verify(path, await killUnderLoad(child, [path, workers, next], random))
        expect(next, 'it was under load').toBeGreaterThanOrEqual(kills * 8)
      })
    })
  })
}

/** Kills it once; answers the last number that it acknowledged. */
export async function killUnderLoad(child: string, args: readonly (string | number)[], random: Random): Promise<number> {
  const program = startCompiled(child, args)
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
