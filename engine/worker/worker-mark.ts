/** What `open()` must know of the thread it runs in: whether it is a worker of ours that loads an application. */
const inWorker = Symbol.for('sluicedb.worker')
const opened = Symbol.for('sluicedb.opened')

const realm = globalThis as unknown as Record<symbol, unknown>

export const workerMark = {
  enter(url: string): void {
    realm[inWorker] = url
    realm[opened] = false
  },
  /** The application that this thread loads, or undefined on any other thread. */
  get module(): string | undefined {
    return realm[inWorker] as string | undefined
  },
  /** `open()` was called while the application was loading. */
  noteOpened(): void {
    realm[opened] = true
  },
  hasOpened: (): boolean => realm[opened] === true,
}
