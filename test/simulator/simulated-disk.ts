/**
 * The disk of a simulated database: the folders `log` and `checkpoint` on one device, which fails and loses power as one.
 */
import { MemoryLogStorage, type StorageFault, type StorageOperation } from '../../wal/index.js'

export type Folder = 'log' | 'checkpoint'
export type OnOperation = (operation: StorageOperation, folder: Folder) => StorageFault | undefined

export class SimulatedDisk {
  readonly log: MemoryLogStorage
  readonly checkpoint: MemoryLogStorage

  constructor(log: MemoryLogStorage, checkpoint: MemoryLogStorage) {
    this.log = log
    this.checkpoint = checkpoint
  }

  static create(onOperation: OnOperation): SimulatedDisk {
    return new SimulatedDisk(new MemoryLogStorage(optionsOf(onOperation, 'log')), new MemoryLogStorage(optionsOf(onOperation, 'checkpoint')))
  }

  /** What is found after a power cut: see MemoryLogStorage. */
  crash(keeps: () => boolean, onOperation: OnOperation = () => undefined): SimulatedDisk {
    return new SimulatedDisk(
      this.log.crash(keeps, optionsOf(onOperation, 'log')),
      this.checkpoint.crash(keeps, optionsOf(onOperation, 'checkpoint')),
    )
  }

  copy(onOperation: OnOperation = () => undefined): SimulatedDisk {
    return new SimulatedDisk(this.log.copy(optionsOf(onOperation, 'log')), this.checkpoint.copy(optionsOf(onOperation, 'checkpoint')))
  }

  /** Every file with its bytes, by folder and name. */
  files(): { readonly folder: Folder; readonly name: string; readonly bytes: Uint8Array }[] {
    return (['log', 'checkpoint'] as const).flatMap((folder) =>
      this[folder].list().map((name) => ({ folder, name, bytes: this[folder].bytesOf(name) })),
    )
  }

  equals(other: SimulatedDisk): boolean {
    const [ours, theirs] = [this.files(), other.files()]
    return (
      ours.length === theirs.length &&
      ours.every(({ folder, name, bytes }, at) => {
        const it = theirs[at]!
        return it.folder === folder && it.name === name && Buffer.compare(it.bytes, bytes) === 0
      })
    )
  }
}

function optionsOf(onOperation: OnOperation, folder: Folder) {
  return { crashable: true, onOperation: (operation: StorageOperation) => onOperation(operation, folder) }
}
