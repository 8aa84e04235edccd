/**
 * What a subscriber says of where it stands.
 *
 * The story: one that reads files has read a frame and waits for the next one; nothing of it is in the buffer yet. It said that nothing durable was
 * before it, because its follower was past it. A publisher that looked in that moment noted that it had seen all, and never published these.
 */
import { expect, test } from 'vitest'
import type { DecodedTransaction } from '../../../engine/stream/frame-decoder.js'
import type { LogFollower, LogPlace } from '../../../engine/stream/log-follower.js'
import { StreamFilter } from '../../../engine/stream/stream-filter.js'
import { Subscription, type SubscriptionHost, type SubscriptionOptions } from '../../../engine/stream/subscription.js'
import { endOfBatch } from '../../../engine/schema/handler-ids.js'

const durable = 7
const transaction: DecodedTransaction = { batch: durable, index: 3, time: 0, procedure: 'a.b', id: undefined, outcome: 0, request: 0, value: undefined, isErased: false, isCompacted: false, lost: 0, bytes: 10, changes: [], events: [] }

/** A log in files: what it holds is read at once, and handed over when `release` is called. */
function filesFrom(after: LogPlace) {
  let place = after
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const follower = {
    get place() {
      return place
    },
    isAtEnd: false,
    isInFiles: true,
    isBehind: () => place.index !== endOfBatch || place.batch < durable,
    readRing: () => false,
    readFiles: async (_max: number, into: DecodedTransaction[]) => {
      into.push(transaction)
      place = { batch: durable, index: endOfBatch }
      await released
    },
    close: () => undefined,
  } as unknown as LogFollower
  return { follower, release }
}

function subscriptionFrom(after: LogPlace) {
  const { follower, release } = filesFrom(after)
  const host: SubscriptionHost<DecodedTransaction> = {
    place: { batch: 0, index: 0 },
    isClosed: false,
    durable: () => durable,
    shape: (selection) => selection,
    open: () => follower,
    join: () => false,
    leave: () => undefined,
    end: () => undefined,
    nextNews: () => new Promise(() => undefined),
    nextTurn: () => Promise.resolve(),
    moved: () => undefined,
  }
  const options: SubscriptionOptions = { filter: new StreamFilter('all', undefined, undefined), after, sinceMs: undefined, slow: 'spill', commits: 8, snapshot: undefined }
  return { subscription: new Subscription(host, options), release }
}

test.each<[string, LogPlace]>([
  ['from a batch before', { batch: 5, index: endOfBatch }],
  ['from the middle of the newest batch', { batch: durable, index: 2 }],
])('it is behind until what it reads of files is there, and was taken: %s', async (_, after) => {
  const { subscription, release } = subscriptionFrom(after)
  expect(subscription.isBehind).toBe(true)
  const refilled = subscription.refill()
  await Promise.resolve()
  expect([subscription.count, subscription.isBehind]).toEqual([0, true])
  expect(subscription.place).toEqual(after)
  release()
  await refilled
  expect([subscription.take()?.index, subscription.isBehind]).toEqual([3, false])
})
