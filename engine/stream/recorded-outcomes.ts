/** R57: the transactions of a frame are the contents of the outcome table. Who keeps them reads them here. */
import { type FrameBodyReader, transactionField, transactionWords } from '../../wal/index.js'
import { compactedFlag, erasedFlag } from '../txn/outcome.js'
import { isEngineId, keptForever } from '../schema/handler-ids.js'
import type { OutcomeRow } from './checkpoint-rows.js'

/** Every recorded call with an id, in order. The id (UTF-8) and the value are views of the body. */
export function forEachOutcome(body: FrameBodyReader, visit: (id: Uint8Array, outcome: OutcomeRow) => void): void {
  const { words, bytes } = body
  for (const lane of body.lanes) {
    for (let n = 0; n < lane.transactionCount; n += 1) {
      const place = lane.transactionIndex + n
      const at = body.transactionsWord + place * transactionWords
      const idBytes = words[at + transactionField.idBytes]!
      if (idBytes === 0) continue
      const idAt = lane.bytesAt + words[at + transactionField.id]!
      const id = bytes.subarray(idAt, idAt + idBytes)
      const valueAt = lane.bytesAt + words[at + transactionField.result]!
      visit(id, {
        batch: body.batch,
        time: isEngineId(id) ? keptForever : body.now,
        request: words[at + transactionField.resultHash]! >>> 0,
        place,
        outcome: (words[at + transactionField.outcome]! & ~(erasedFlag | compactedFlag)) >>> 0,
        value: bytes.subarray(valueAt, valueAt + words[at + transactionField.resultBytes]!),
      })
    }
  }
}
