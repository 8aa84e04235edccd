/** The request ring: what it costs to hand a call over, both ends on one thread. */
import { limits } from '../../engine/base/limits.js'
import { Control } from '../../engine/shared/control.js'
import { RequestRing, unplaced } from '../../engine/shared/request-ring.js'
import { operationsPerRun, type MicroCase } from './micro-case.js'

const inputBytes = 40

export const ringCases: readonly MicroCase[] = [
  {
    name: `request ring: write and take an entry of ${inputBytes} bytes`,
    prepare() {
      const control = Control.create(1)
      const ring = new RequestRing(new SharedArrayBuffer(limits.requestRingBytes), control)
      const input = new Uint8Array(inputBytes).fill(7)
      return () => {
        for (let slot = 0; slot < operationsPerRun; slot += 1) {
          if (!ring.write(slot, 0, unplaced, undefined, input, inputBytes)) throw new Error('the ring is full')
        }
        ring.publish()
        let counter = ring.tail
        let entries = 0
        while (counter !== ring.publishedHead) {
          const offset = ring.offsetOf(counter)
          if (!ring.isFiller(offset)) entries += 1
          counter = (counter + ring.bytesAt(offset)) | 0
        }
        ring.free(counter)
        if (entries !== operationsPerRun) throw new Error(`the ring gave ${entries} entries of ${operationsPerRun}`)
        return counter
      }
    },
  },
]
