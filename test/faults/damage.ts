/** What a file editor, a failing device, a firmware or a careless copy does to files. */
import type { MemoryLogStorage } from '../../wal/index.js'
import type { Random } from '../support/random.js'

export const randomBytes = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256))

/** Damages one file of a folder, chosen from `names`; `other` is the same folder of another database. Answers what it did. */
export function damage(disk: MemoryLogStorage, other: MemoryLogStorage, random: Random, names: readonly string[] = disk.list()): string {
  const name = random.pick(names)
  const bytes = disk.bytesOf(name)
  if (bytes.length === 0) return `${name} is empty`
  const sector = (): number => random.below(Math.max(1, Math.floor(bytes.length / 512))) * 512
  const from = sector()
  const to = sector()
  switch (random.below(10)) {
    case 0:
      for (let n = 1 + random.below(50); n > 0; n -= 1) bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      return `bits of ${name}`
    case 1: {
      const kept = bytes.slice(from, from + 512)
      bytes.copyWithin(from, to, to + 512)
      bytes.set(kept.subarray(0, bytes.length - to), to)
      return `sectors ${from} and ${to} of ${name} swapped`
    }
    case 2:
      bytes.copyWithin(to, from, from + 512)
      return `sector ${from} of ${name} twice`
    case 3: {
      const source = disk.bytesOf(random.pick(disk.list()))
      const sectors = source.slice(from, from + 512 * (1 + random.below(4)))
      bytes.set(sectors.subarray(0, bytes.length - to), to)
      return `a sector of another file at ${to} of ${name}`
    }
    case 4:
      bytes.fill(0, from, from + 4_096)
      return `a page of zeros at ${from} of ${name}`
    case 5:
      return replaced(disk, name, bytes.slice(0, random.below(bytes.length)), 'cut short')
    case 6:
      return replaced(disk, name, Uint8Array.from([...bytes, ...randomBytes(random, 1 + random.below(5_000))]), 'longer')
    case 7: {
      const foreign = other.list().includes(name) ? other.bytesOf(name).slice() : randomBytes(random, 9_000)
      return replaced(disk, name, foreign, 'of another database')
    }
    case 8:
      disk.remove(name)
      return `${name} removed`
    default:
      bytes.set(randomBytes(random, Math.min(bytes.length - from, 1 + random.below(2_000))), from)
      return `random bytes at ${from} of ${name}`
  }
}

function replaced(disk: MemoryLogStorage, name: string, bytes: Uint8Array, what: string): string {
  disk.remove(name)
  disk.create(name).write([bytes], 0)
  return `${name} ${what}`
}
