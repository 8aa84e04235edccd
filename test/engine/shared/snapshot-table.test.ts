/** Which snapshots are held, against a plain map; and the rules by which a reclaimer and a reader never miss each other. */
import { describe, expect, test } from 'vitest'
import { limits } from '../../../engine/base/limits.js'
import { SnapshotTable } from '../../../engine/shared/snapshot-table.js'
import { randomFrom, seeds } from '../store/fixture.js'

describe.each(seeds)('snapshot table, seed %i', (seed) => {
  test('R13, R15: the oldest held batch is the oldest of all slots, and an expired holder learns of it', () => {
    const random = randomFrom(seed)
    const table = SnapshotTable.create(3)
    const held = new Map<number, { batch: number; isExpired: boolean }>()
    const spare = table.take()
    table.holdNewest(spare, () => 1)
    held.set(spare, { batch: 1, isExpired: false })
    const alive = (): { slot: number; batch: number }[] => [...held].filter(([, it]) => !it.isExpired).map(([slot, { batch }]) => ({ slot, batch }))
    let durable = 1
    let [expirations, refusals] = [0, 0]
    for (let round = 0; round < 20_000; round += 1) {
      const die = random.below(100)
      if (die < 20) durable += random.below(4)
      else if (die < 50) {
        const slot = table.take()
        if (slot < 0) {
          refusals += 1
          expect(held.size).toBe(limits.snapshotSlots)
        } else {
          expect(held.has(slot), 'a slot has one owner').toBe(false)
          const old = 1 + random.below(durable)
          if (random.chance(0.5)) held.set(slot, { batch: table.holdNewest(slot, () => durable), isExpired: false })
          else {
            const isThere = [0, 1, 2].every((domain) => table.floor(domain) <= old)
            expect(table.holdOld(slot, old, 3)).toBe(isThere)
            if (isThere) held.set(slot, { batch: old, isExpired: false })
            else table.give(slot)
          }
        }
      } else if (die < 80 && held.size > 1) {
        const [slot] = [...held.keys()].filter((one) => one !== spare).slice(random.below(held.size - 1))
        expect(table.isExpired(slot!)).toBe(held.get(slot!)!.isExpired)
        table.give(slot!)
        held.delete(slot!)
      } else if (die < 90) {
        const domain = random.below(3)
        table.raiseFloor(domain, table.floor(domain) + random.below(3))
      } else if (die < 93) {
        const others = alive().filter(({ slot }) => slot !== spare)
        const oldest = Math.min(...others.map(({ batch }) => batch))
        expect(table.expireOldest(spare)).toBe(others.length > 0)
        if (others.length > 0) {
          const [victim] = others.filter(({ slot }) => table.isExpired(slot))
          expect(victim!.batch).toBe(oldest)
          held.get(victim!.slot)!.isExpired = true
          expirations += 1
        }
      }
      const ceiling = durable
      expect(table.oldestHeld(ceiling)).toBe(Math.min(ceiling, ...alive().map(({ batch }) => batch)))
      expect(table.isExpired(spare), 'main is spared').toBe(false)
    }
    expect(expirations).toBeGreaterThan(50)
    void refusals
  })
})

test('there are as many slots as the limit says, and then none', () => {
  const table = SnapshotTable.create(2)
  const slots = new Set(Array.from({ length: limits.snapshotSlots }, () => table.take()))
  expect(slots.size).toBe(limits.snapshotSlots)
  expect(table.take()).toBe(-1)
  table.give(7)
  expect(table.take()).toBe(7)
})

test('S2: a reader that announces while durable moves takes the newer batch', () => {
  const table = SnapshotTable.create(1)
  const slot = table.take()
  const answers = [5, 6, 6, 8, 8, 8]
  expect(table.holdNewest(slot, () => answers.shift() ?? 8)).toBe(8)
  expect(table.oldestHeld(100)).toBe(8)
})

test('S4: a batch below a floor cannot be held, and the refused slot holds nothing back', () => {
  const table = SnapshotTable.create(2)
  table.raiseFloor(1, 10)
  const slot = table.take()
  expect(table.holdOld(slot, 9, 2)).toBe(false)
  expect(table.oldestHeld(50)).toBe(50)
  expect(table.holdOld(slot, 10, 2)).toBe(true)
  expect(table.oldestHeld(50)).toBe(10)
  expect(() => table.raiseFloor(1, 9)).toThrow('a floor never falls')
})
