/** Steps from schema to schema, as a reader of files passes them: also more than once, and where a crash has left one without a frame. */
import { expect, test } from 'vitest'
import type { LoggedCatalog } from '../../../engine/schema/catalog.js'
import { SchemaTrail } from '../../../engine/stream/schema-trail.js'

const catalog = (version: number, procedures: readonly string[] = []): LoggedCatalog => ({ format: 1, seed: 0, partitions: 1, tables: [], events: [], procedures, hasRules: true, version })
const text = (version: number, procedures?: readonly string[]): string => JSON.stringify(catalog(version, procedures))
const lastBatch = 100
let grown = true

async function begun(today: number): Promise<SchemaTrail> {
  grown = true
  const trail = new SchemaTrail({ disk: { directory: '', databaseId: new Uint8Array(16), compactedUpTo: () => 0 }, today: catalog(today), lastBatch, hasGrown: () => grown, seeksMoment: true })
  await trail.begin(1)
  return trail
}
/** All that is due at a batch, each told at once. */
function stepsOf(trail: SchemaTrail, batch: number): string[] {
  const found: string[] = []
  for (let step = trail.due(batch); step !== undefined; step = trail.due(batch)) {
    found.push(`${step.before.version} → ${step.now.version} behind ${step.after}`)
    trail.told()
  }
  return found
}

test('the first schema is where it begins; each other one is a step, before the first batch behind it', async () => {
  const trail = await begun(3)
  for (const [schema, after] of [[text(1), 0], [text(1), 5], [text(1, ['shop.put']), 7], [text(2), 9]] as const) trail.passed(schema, after)
  expect([stepsOf(trail, 9), stepsOf(trail, 10), stepsOf(trail, 11)]).toEqual([[], ['1 → 2 behind 9'], []])
  grown = false
  expect([stepsOf(trail, 200), trail.isOver]).toEqual([[], false])
  grown = true
  expect([stepsOf(trail, 200), trail.isOver]).toEqual([['2 → 3 behind 100'], true])
})

test('what is passed once more changes nothing, told or not', async () => {
  const trail = await begun(2)
  for (let pass = 0; pass < 2; pass += 1) for (const [schema, after] of [[text(1), 0], [text(2), 9], [text(1), 12], [text(2), 20]] as const) trail.passed(schema, after)
  expect(stepsOf(trail, 15)).toEqual(['1 → 2 behind 9', '2 → 1 behind 12'])
  for (const [schema, after] of [[text(2), 9], [text(1), 12], [text(2), 20]] as const) trail.passed(schema, after)
  expect([stepsOf(trail, 300), trail.isOver]).toEqual([['1 → 2 behind 20'], true])
})

test('a schema that a crash has left without a frame is no step', async () => {
  const [back, on] = [await begun(1), await begun(3)]
  for (const [schema, after] of [[text(1), 0], [text(2), 9], [text(1), 9]] as const) back.passed(schema, after)
  for (const [schema, after] of [[text(1), 0], [text(2), 9], [text(3), 9], [text(2), 9], [text(3), 9]] as const) on.passed(schema, after)
  expect([stepsOf(back, 300), stepsOf(on, 300)]).toEqual([[], ['1 → 3 behind 9']])
})

test('what is before the moment that a reader begins at is no step of it', async () => {
  const trail = await begun(3)
  for (const [schema, after] of [[text(1), 0], [text(2), 9]] as const) trail.passed(schema, after)
  trail.leftOut(12)
  trail.passed(text(3), 12)
  expect([stepsOf(trail, 13), stepsOf(trail, 300)]).toEqual([['2 → 3 behind 12'], []])
})
