/** Opening with checkpoints where a benchmark wants them and nowhere else. */
import { open, type App, type Database, type OpenOptions } from 'sluicedb'

/**
 * 'by itself': as users get it. 'on demand': none but those that are asked for. Else whenever the log has grown by so
 * many bytes.
 */
export type Checkpoints = 'by itself' | 'on demand' | { readonly logBytes: number }

export function openWith(application: App, options: OpenOptions, checkpoints: Checkpoints): Promise<Database> {
  if (checkpoints === 'by itself') return open(application, options)
  return open(application, { ...options, checkpoint: checkpoints === 'on demand' ? { logBytes: Infinity } : checkpoints })
}
