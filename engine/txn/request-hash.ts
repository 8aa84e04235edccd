/**
 * What a request id stands for: 32 bits of the procedure's name and the bytes of the input (equal inputs give equal bytes).
 * For an interactive transaction it is the name alone, for its input is what one run of the body came to.
 * The log keeps it where calls without an id keep the hash of their result.
 */
import { hashByte, hashEnd, hashStart, hashText } from '../base/hash.js'
import type { Program } from '../schema/descriptor.js'
import { requestHeaderBytes, type RequestRing } from '../shared/request-ring.js'

/** The hash of a request that is known by its name. */
export function requestHashOfName(name: string): number {
  return hashEnd(hashText(hashStart, name)) >>> 0
}

/** The hash of the request at an offset of the ring, 0 to 2^32 - 1. */
export function requestHashOf(program: Program, requests: RequestRing, offset: number): number {
  const at = offset >>> 2
  const { descriptor, isKnownByName } = program.procedures[requests.i32[at + 2]!]!
  if (isKnownByName) return requestHashOfName(descriptor.name)
  const from = offset + requestHeaderBytes + requests.i32[at + 4]!
  const to = from + requests.i32[at + 5]!
  let hash = hashText(hashStart, descriptor.name)
  for (let n = from; n < to; n += 1) hash = hashByte(hash, requests.bytes[n]!)
  return hashEnd(hash) >>> 0
}
