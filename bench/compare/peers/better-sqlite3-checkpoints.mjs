/**
 * A thread with a connection of its own that moves the write-ahead log into the file, again and again, while its first
 * word is set. PASSIVE waits for nobody and keeps nobody waiting; where it finds nothing to move, the thread sleeps for a
 * millisecond, so that it takes no processor from the one that commits. It answers 'begun' before it begins and
 * 'ended' when it has ended.
 */
import Database from 'better-sqlite3'
import { parentPort, workerData } from 'node:worker_threads'

const restMs = 1
const { path, words } = workerData
const db = new Database(path)
db.pragma('synchronous = FULL')
db.pragma('wal_autocheckpoint = 0')
const checkpoint = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')

parentPort.on('message', (answer) => {
  parentPort.postMessage(answer)
  if (answer !== 'begun') return
  let before = ''
  while (Atomics.load(words, 0) === 1) {
    const { log, checkpointed } = checkpoint.get()
    const now = `${checkpointed} of ${log}`
    if (now === before) Atomics.wait(words, 0, 1, restMs)
    else Atomics.add(words, 1, 1)
    before = now
  }
})
