/**
 * The manifest of an environment: what its file is if it is whole. One block of 512 bytes, so that a disk writes it in one piece.
 *
 *     byte  0  u32  magic "SLC1"
 *           4  u16  format (1)
 *           6  u8   state: 1 whole, 2 under way
 *           7  u8   kind of the environment: 1 lmdb, 2 plain
 *           8  16   database id
 *          24  f64  sequence: grows with every manifest of the two that says whole
 *          32  f64  batch
 *          40  f64  rows
 *          48  f64  bytes of the file
 *          56  u32  crc32 of the file
 *          60       zero
 *         508  u32  crc32 of bytes 0 to 507
 *
 * Under way: everything behind the database id is zero. Magic, format and the checksum stay where they are in every later format,
 * so that a file from the future is known from a damaged one.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../engine/base/assert.js'
import { checkpointKinds, type CheckpointKind } from './checkpoint.js'
import { isMissing, newerFormat } from './damage.js'
import { databaseIdBytes, isZero } from './envelope.js'
import type { LogStorage } from './storage.js'

export const manifestBytes = 512
export const manifestFormat = 1
const magic = 0x3143_4c53
const crcAt = manifestBytes - 4
const usedBytes = 60
const stateWhole = 1
const stateUnderWay = 2

export interface Manifest {
  readonly kind: CheckpointKind
  readonly databaseId: Uint8Array
  readonly sequence: number
  readonly batch: number
  readonly rows: number
  readonly fileBytes: number
  readonly fileCrc: number
}

export type ManifestState =
  | { readonly state: 'whole'; readonly manifest: Manifest }
  | { readonly state: 'under way'; readonly databaseId: Uint8Array }
  | { readonly state: 'missing' }
  | { readonly state: 'damaged'; readonly why: string }

export function manifestName(name: string): string {
  return `${name}.manifest`
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const bytes = begun(manifest.kind, manifest.databaseId, stateWhole)
  const view = new DataView(bytes.buffer)
  view.setFloat64(24, manifest.sequence, true)
  view.setFloat64(32, manifest.batch, true)
  view.setFloat64(40, manifest.rows, true)
  view.setFloat64(48, manifest.fileBytes, true)
  view.setUint32(56, manifest.fileCrc, true)
  return sealed(bytes)
}

/** For an environment that is about to change. */
export function encodeUnderWay(kind: CheckpointKind, databaseId: Uint8Array): Uint8Array {
  return sealed(begun(kind, databaseId, stateUnderWay))
}

/** A whole manifest of a later format is refused: neither it nor its environment is ours to judge. */
export function decodeManifest(bytes: Uint8Array): ManifestState {
  if (bytes.length === 0) return { state: 'missing' }
  if (bytes.length !== manifestBytes) return { state: 'damaged', why: `the manifest has ${bytes.length} bytes` }
  const view = new DataView(bytes.buffer, bytes.byteOffset, manifestBytes)
  const isWhole = view.getUint32(0, true) === magic && view.getUint32(crcAt, true) === crc32(bytes.subarray(0, crcAt))
  if (!isWhole) return { state: 'damaged', why: 'the checksum of the manifest is wrong' }
  const format = view.getUint16(4, true)
  if (format > manifestFormat) throw newerFormat('checkpoint', format, manifestFormat)

  const state = view.getUint8(6)
  const kind = checkpointKinds[view.getUint8(7) - 1]
  const databaseId = new Uint8Array(bytes.subarray(8, 8 + databaseIdBytes))
  if (format === manifestFormat && state === stateUnderWay) return { state: 'under way', databaseId }
  const [sequence, batch, rows, fileBytes] = [24, 32, 40, 48].map((at) => view.getFloat64(at, true)) as [number, number, number, number]
  const isSane = [sequence, batch, rows, fileBytes].every((value) => Number.isSafeInteger(value) && value >= 0)
  if (format !== manifestFormat || state !== stateWhole || kind === undefined || !isSane || !isZero(bytes.subarray(usedBytes, crcAt))) {
    return { state: 'damaged', why: 'the manifest says what no manifest says' }
  }
  return { state: 'whole', manifest: { kind, databaseId, sequence, batch, rows, fileBytes, fileCrc: view.getUint32(56, true) } }
}

export function readManifest(storage: LogStorage, name: string): ManifestState {
  let file
  try {
    file = storage.open(manifestName(name), 'read')
  } catch (error) {
    if (isMissing(error)) return { state: 'missing' }
    throw error
  }
  try {
    // One byte more than it has: what is longer is not ours.
    const bytes = new Uint8Array(manifestBytes + 1)
    return decodeManifest(bytes.subarray(0, file.read(bytes, 0)))
  } finally {
    file.close()
  }
}

/** Returns when the manifest is on disk. Written in place: a torn one is a damaged one. */
export function writeManifest(storage: LogStorage, name: string, bytes: Uint8Array): void {
  assert(bytes.length === manifestBytes, 'a manifest is one block')
  const fileName = manifestName(name)
  const isNew = !storage.list().includes(fileName)
  const file = isNew ? storage.create(fileName) : storage.open(fileName, 'write')
  try {
    file.write([bytes], 0)
    file.sync()
    if (isNew) storage.syncDirectory()
  } finally {
    file.close()
  }
}

function begun(kind: CheckpointKind, databaseId: Uint8Array, state: number): Uint8Array<ArrayBuffer> {
  assert(databaseId.length === databaseIdBytes, 'a database id has 16 bytes')
  const bytes = new Uint8Array(manifestBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, magic, true)
  view.setUint16(4, manifestFormat, true)
  view.setUint8(6, state)
  view.setUint8(7, checkpointKinds.indexOf(kind) + 1)
  bytes.set(databaseId, 8)
  return bytes
}

function sealed(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  new DataView(bytes.buffer).setUint32(crcAt, crc32(bytes.subarray(0, crcAt)), true)
  return bytes
}
