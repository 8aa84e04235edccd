/** The address space of regions: what a process keeps of closed databases must not keep it from starting others. */
import { spawnSync } from 'node:child_process'
import { totalmem } from 'node:os'
import { expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { Region } from '../../../engine/shared/region.js'

test('a process whose regions are larger than the machine in sum can start another', () => {
  const size = Math.min(limits.memoryBytesDefaultMax, Math.floor(totalmem() / 4 / 65_536) * 65_536)
  const regions: Region[] = []
  // Twice: the kernel joins neighbours, and not every one finds a neighbour.
  for (let sum = 0; sum < 2 * totalmem(); sum += size) regions.push(Region.reserve(size, false))
  expect(spawnSync(process.execPath, ['--version']).error).toBeUndefined()
  expect(regions.every((region) => region.words === (size - limits.guardBytes) / 8)).toBe(true)
})

test('views end before the guard, and a region is as long for whoever it is handed to', () => {
  const region = Region.reserve(limits.memoryBytesMin, false)
  const same = new Region(region.buffer)
  expect([region.f64.length, region.i32.length, same.words]).toEqual([region.words, region.words * 2, region.words])
  expect(region.windows.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(region.words * 8)
  expect(region.buffer.maxByteLength - region.buffer.byteLength).toBe(limits.guardBytes)
})

test('above 4 GiB there is no guard', () => {
  const region = Region.reserve(limits.guardedBytesMax + 65_536, false)
  expect([region.buffer.growable, region.words * 8]).toEqual([false, limits.guardedBytesMax + 65_536])
})
